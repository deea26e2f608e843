import pg from 'pg';
import { sleep } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { parseLsn } from '../base/positions.ts';
import type { Lsn } from '../base/positions.ts';
import { unavailable } from '../database/errors.ts';
import { Lead } from '../database/lead.ts';
import type { LeadOptions } from '../database/lead.ts';
import { openSession } from '../database/session.ts';
import type { CoverageFact } from '../events/position.ts';
import { findTables, readCatalog } from './catalog.ts';
import type { Catalog } from './catalog.ts';
import { coverageOf, lostTable } from './coverage.ts';
import { mend } from './mend.ts';
import { problemsOf } from './source-checks.ts';
import type { Problem, SourceNames } from './source-problem.ts';
import type { Preset } from './presets/preset.ts';
import { wrongAnswers } from './source-report.ts';
import { parseHistory } from './timeline.ts';
import type { Timelines } from './timeline.ts';

/** A new slot and the snapshot it starts from; the snapshot lives until `release`. */
export interface NewSlot {
  readonly consistentPoint: Lsn;
  readonly snapshot: string;
  release(): Promise<void>;
}

/** Pause between two checks that an ended session is gone, in ms. */
const END_POLL = 50;

/** The source database as capture needs it set up: publication, slot, replica identity. Every call is short; none reads resources. */
export class Source {
  readonly #url: string;
  readonly #names: SourceNames;
  readonly preset: Preset;

  /** @param options.slotFailover whether standbys keep the slot that is made (PostgreSQL 17, `FAILOVER`) */
  constructor(
    options: Omit<SourceNames, 'setting' | 'slotFailover'> & {
      url: string;
      preset: Preset;
      slotFailover?: boolean;
    },
  ) {
    const { slot, publication, prefix, preset, slotFailover = false } = options;
    this.#url = options.url;
    this.#names = { slot, publication, prefix, setting: preset.setting, slotFailover };
    this.preset = preset;
  }

  get slot(): string {
    return this.#names.slot;
  }

  get publication(): string {
    return this.#names.publication;
  }

  get url(): string {
    return this.#url;
  }

  /** Waits until no other capture of this installation leads. Two leaders would fence each other again and again. */
  lead(signal: AbortSignal, waits: Pick<LeadOptions, 'onWaiting' | 'onSilent'>): Promise<Lead> {
    return Lead.acquire(
      { ...waits, url: this.#url, name: `headwater capture ${this.#names.prefix}` },
      signal,
    );
  }

  /**
   * Ends the sessions that read the slot. Only the leader calls it, for its own slot: a remaining reader led before, and is frozen or
   * its host has vanished.
   */
  async endReaders(signal: AbortSignal): Promise<void> {
    await this.#query(async (client) => {
      for (;;) {
        const { rowCount } = await client.query(
          'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL',
          [this.slot],
        );
        if (rowCount === 0) return;
        await sleep(END_POLL, signal);
      }
    });
  }

  /** Reads the catalog. Throws `unavailable` while the server is a standby. */
  catalog(): Promise<Catalog> {
    return this.#query((client) => this.catalogOver(client));
  }

  async catalogOver(client: pg.Client): Promise<Catalog> {
    const { schema } = this.preset;
    const found = schema === undefined ? [] : await findTables(client, schema);
    const catalog = await readCatalog(client, { ...this.#names, followed: this.preset.tables(found) });
    if (catalog.standby)
      throw new HeadwaterError('unavailable', 'the source is a standby; capture needs the primary');
    return { ...catalog, found };
  }

  /** A session for long queries. The caller ends it. */
  readingSession(): Promise<pg.Client> {
    return openSession(this.#url, 'load');
  }

  /** A session for `catalogOver`. The caller ends it. */
  catalogSession(): Promise<pg.Client> {
    return openSession(this.#url, 'catalog');
  }

  /**
   * Proves that load and stream will show everything, and mends what is ours to mend: makes the publication, adds our tables to a
   * publication that we made, sets REPLICA IDENTITY FULL. Throws `blocked` with what an operator has to run.
   */
  async prepare(): Promise<Catalog> {
    return this.#query(async (client) => {
      for (let round = 0; ; round++) {
        const catalog = await this.catalogOver(client);
        this.requireTables(catalog);
        const [first, ...more] = this.problemsOf(catalog);
        if (!first) {
          for await (const text of wrongAnswers(this, catalog)) throw new HeadwaterError('blocked', text);
          return catalog;
        }
        if (!first.mend || round > 0) throw new HeadwaterError('blocked', first.text);
        await mend(client, [first, ...more], catalog);
      }
    });
  }

  /** Throws `unavailable` if a table does not exist, so that capture waits for it. */
  requireTables({ tables, followed }: Catalog): void {
    const { setting, name } = this.preset;
    if (followed.length === 0)
      throw new HeadwaterError('unavailable', `the source has no table of preset ${name} (${setting})`);
    const missing = followed.find((_, i) => !tables[i]);
    if (!missing) return;
    const of = `${missing.schema}.${missing.table}`;
    throw new HeadwaterError('unavailable', `the source has no table ${of} (${setting})`);
  }

  /** Throws `unavailable` if a table that was followed is gone. A schema is looked through, so nothing else would miss it. */
  requireFollowed(catalog: Catalog, proved: readonly CoverageFact[]): void {
    const lost = this.preset.schema && lostTable(proved, this.coverageOf(catalog));
    if (lost !== undefined)
      throw new HeadwaterError(
        'unavailable',
        `the source has no ${lost} any more; bring it back, or run headwater reload to delete its resources`,
      );
  }

  problemsOf(catalog: Catalog): readonly Problem[] {
    return problemsOf(catalog, this.#names);
  }

  coverageOf(catalog: Catalog): CoverageFact[] {
    return coverageOf(catalog, this.publication, this.preset.fingerprint);
  }

  /** Returns the part of PostgreSQL's history that this server has. */
  async timelines(): Promise<Timelines> {
    const client = await openSession(this.#url, 'stream');
    try {
      const { rows } = await client.query<{ timeline: string }>('IDENTIFY_SYSTEM');
      const current = Number(rows[0]?.timeline ?? 0);
      if (current <= 1) return { current, ended: [] };
      const history = await client.query<{ content: string | Buffer }>(`TIMELINE_HISTORY ${current}`);
      return parseHistory(current, String(history.rows[0]?.content ?? ''));
    } catch (error) {
      throw unavailable(error);
    } finally {
      await client.end();
    }
  }

  /** Drops the slot if there is one. Throws `unavailable` while another capture reads it. */
  async dropSlot(): Promise<void> {
    await this.#query(async (client) => {
      await client.query(
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()',
        [this.slot],
      );
    });
  }

  async createSlot(): Promise<NewSlot> {
    const client = await openSession(this.#url, 'stream');
    try {
      const { rows } = await client.query<{ consistent_point: string; snapshot_name: string }>(
        `CREATE_REPLICATION_SLOT ${pg.escapeIdentifier(this.slot)} LOGICAL pgoutput (SNAPSHOT 'export'${this.#names.slotFailover ? ', FAILOVER true' : ''})`,
      );
      const created = rows[0];
      if (!created) throw new HeadwaterError('internal', 'PostgreSQL created a slot and says nothing of it');
      return {
        consistentPoint: parseLsn(created.consistent_point),
        snapshot: created.snapshot_name,
        release: () => client.end(),
      };
    } catch (error) {
      await client.end();
      throw unavailable(error);
    }
  }

  /** A connection in a read-only transaction that sees the database as the snapshot does. The caller ends it. */
  async atSnapshot(snapshot: string): Promise<pg.Client> {
    const client = await openSession(this.#url, 'load');
    try {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await client.query(`SET TRANSACTION SNAPSHOT ${pg.escapeLiteral(snapshot)}`);
      return client;
    } catch (error) {
      await client.end();
      throw unavailable(error);
    }
  }

  async #query<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await openSession(this.#url, 'catalog');
    try {
      return await work(client);
    } catch (error) {
      throw unavailable(error);
    } finally {
      await client.end();
    }
  }
}
