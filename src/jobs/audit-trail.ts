import type { Pool } from 'pg';
import type { AuditEntry } from '../events/audit.ts';
import { insertEntries } from './audit-rows.ts';
import { commitAtOnce } from './commit-at-once.ts';
import type { JobTables } from './schema.ts';

/** Where entries of the audit log are put. */
export interface Audit {
  /** Resolves when the entry is stored for good. Throws `unavailable` while it cannot be. An entry whose id is stored already is left out. */
  record(entry: AuditEntry): Promise<void>;
}

/** Stores entries as rows, from which the projector brings them to the log. Entries that come during a commit share the next one. */
export class AuditTrail implements Audit {
  readonly #pool: Pool;
  readonly #tables: JobTables;
  #waiting: AuditEntry[] = [];
  #next: Promise<void> | undefined;
  #current: Promise<unknown> = Promise.resolve();

  constructor(pool: Pool, tables: JobTables) {
    this.#pool = pool;
    this.#tables = tables;
  }

  record(entry: AuditEntry): Promise<void> {
    this.#waiting.push(entry);
    this.#next ??= this.#current.then(() => this.#store());
    return this.#next;
  }

  #store(): Promise<void> {
    const entries = this.#waiting;
    this.#waiting = [];
    this.#next = undefined;
    const stored = commitAtOnce(this.#pool, `${insertEntries(this.#tables, entries)}; SELECT 1 AS stored`);
    this.#current = stored.catch(() => undefined);
    return stored.then(() => undefined);
  }
}
