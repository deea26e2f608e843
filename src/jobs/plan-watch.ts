import type { Pool } from 'pg';
import { sleep } from '../base/clock.ts';
import { asking } from '../database/pool.ts';
import type { JobFailure } from './job.ts';
import type { JobTables } from './schema.ts';

/** ms between two queries. */
const POLL = 15;

interface Waiting {
  readonly until: number;
  readonly resolve: (failure: JobFailure | undefined) => void;
}

interface Row {
  readonly job_id: string;
  readonly failure: JobFailure | null;
}

/**
 * Waits until jobs have a plan or have failed without one. One statement at a time asks for all waiting jobs, so a thousand
 * kick-offs cost the database as much as one.
 */
export class PlanWatch {
  readonly #pool: Pool;
  readonly #table: string;
  readonly #waiting = new Map<string, Waiting>();
  #polling = false;

  constructor(pool: Pool, tables: JobTables) {
    this.#pool = pool;
    this.#table = tables.job;
  }

  /** Returns why the job was refused, or undefined if it has a plan or no plan after `ms`. Never throws. */
  wait(jobId: string, ms: number): Promise<JobFailure | undefined> {
    const { promise, resolve } = Promise.withResolvers<JobFailure | undefined>();
    this.#waiting.set(jobId, { until: performance.now() + ms, resolve });
    if (!this.#polling) void this.#poll();
    return promise;
  }

  async #poll(): Promise<void> {
    this.#polling = true;
    while (this.#waiting.size > 0) {
      await sleep(POLL, NEVER);
      // The job is accepted. If the database is away now, the status request reports it.
      const rows = await this.#look().catch(() => []);
      for (const row of rows) this.#end(row.job_id, row.failure ?? undefined);
      const now = performance.now();
      for (const [jobId, { until }] of this.#waiting) if (until <= now) this.#end(jobId, undefined);
    }
    this.#polling = false;
  }

  async #look(): Promise<Row[]> {
    const { rows } = await asking(() =>
      this.#pool.query<Row>(
        `SELECT job_id, CASE WHEN plan IS NULL THEN failure END AS failure FROM ${this.#table} WHERE job_id = ANY ($1)`,
        [[...this.#waiting.keys()]],
      ),
    );
    return rows;
  }

  #end(jobId: string, failure: JobFailure | undefined): void {
    this.#waiting.get(jobId)?.resolve(failure);
    this.#waiting.delete(jobId);
  }
}

const NEVER = new AbortController().signal;
