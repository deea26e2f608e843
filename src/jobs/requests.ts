import type { Pool } from 'pg';
import type { Clock } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { MESSAGE_PREFIX } from '../events/commands.ts';
import type { RequestMessage } from '../events/commands.ts';
import type { ExportParameters } from '../events/request.ts';
import { asking, transaction } from '../database/pool.ts';
import type { Jobs, JobView, SubmitRequest } from './job.ts';
import { jobAsJson, jobOf, parametersOf } from './job-rows.ts';
import type { JobRow, Queryable } from './job-rows.ts';
import { lock } from './schema.ts';
import type { JobTables } from './schema.ts';
import { viewOf } from './view.ts';

export interface JobLimits {
  /** Unfinished jobs of one client, at most. */
  readonly perClient: number;
  /** Unfinished jobs of all clients together, at most. */
  readonly inAll: number;
}

export interface JobRequestsOptions {
  readonly pool: Pool;
  readonly tables: JobTables;
  readonly limits: JobLimits;
  readonly clock: Clock;
  /** Ids are all that protects a job's URL in an open server: they must not be guessable. */
  readonly newId: () => string;
  /** Prefix of the logical message; capture listens to the same one. */
  readonly messagePrefix?: string;
}

interface FoundRow {
  readonly client_id: string;
  readonly request_url: string;
  readonly parameters: ExportParameters;
  readonly accepted_at: string;
  readonly cancelled: boolean;
  readonly job: JobRow | null;
}

/**
 * The gateway's side of jobs. Invariant: a request row and its message in the write-ahead log exist both or not at all,
 * so what was answered with 202 will be exported, and nothing else. A crash leaves nothing half-done.
 */
export class JobRequests implements Jobs {
  readonly #options: JobRequestsOptions;

  constructor(options: JobRequestsOptions) {
    this.#options = options;
  }

  async submit(request: SubmitRequest): Promise<string> {
    const { pool, tables: t, clock, newId } = this.#options;
    const { clientId, requestUrl, parameters } = request;
    const message = {
      kind: 'ExportRequested',
      jobId: newId(),
      clientId,
      acceptedAt: clock(),
      requestUrl,
      parameters,
    } as const;
    await transaction(pool, async (client) => {
      // One at a time, because two that count at once would both find room for the last job.
      await lock(client, `submit ${t.schema}`);
      await this.#refuseTooMany(client, clientId);
      await client.query(
        `INSERT INTO ${t.request} (job_id, client_id, request_url, parameters, accepted_at) VALUES ($1, $2, $3, $4, $5)`,
        [message.jobId, clientId, requestUrl, JSON.stringify(parameters), message.acceptedAt],
      );
      await this.#emit(client, message);
    });
    return message.jobId;
  }

  async find(jobId: string, clientId: string): Promise<JobView | undefined> {
    if (!isId(jobId)) return undefined;
    const { pool, tables: t } = this.#options;
    const { rows } = await asking(() =>
      pool.query<FoundRow>(
        `SELECT r.client_id, r.request_url, r.parameters, r.accepted_at, r.cancelled_at IS NOT NULL AS cancelled,
           CASE WHEN j.job_id IS NOT NULL THEN ${jobAsJson(t)} END AS job
         FROM ${t.request} r LEFT JOIN ${t.job} j USING (job_id) WHERE r.job_id = $1 AND r.client_id = $2`,
        [jobId, clientId],
      ),
    );
    const row = rows[0];
    if (row === undefined) return undefined;
    const request = {
      jobId,
      clientId: row.client_id,
      requestUrl: row.request_url,
      parameters: parametersOf(row.parameters),
      acceptedAt: Number(row.accepted_at),
      cancelRequested: row.cancelled,
    };
    return viewOf(request, row.job === null ? undefined : jobOf(row.job));
  }

  async cancel(jobId: string, clientId: string): Promise<boolean> {
    if (!isId(jobId)) return false;
    const { pool, tables: t, clock } = this.#options;
    return transaction(pool, async (client) => {
      const cancelledAt = clock();
      const { rowCount } = await client.query(
        `UPDATE ${t.request} r SET cancelled_at = $3 WHERE job_id = $1 AND client_id = $2 AND cancelled_at IS NULL
         AND NOT EXISTS (SELECT FROM ${t.job} j WHERE j.job_id = r.job_id AND state IN ('cancelled', 'expired'))`,
        [jobId, clientId, cancelledAt],
      );
      if (rowCount !== 1) return false;
      await this.#emit(client, { kind: 'ExportCancelRequested', jobId, cancelledAt });
      return true;
    });
  }

  async #refuseTooMany(client: Queryable, clientId: string): Promise<void> {
    const { tables: t, limits } = this.#options;
    const { rows } = await client.query<{ mine: string; all: string }>(
      `SELECT count(*) FILTER (WHERE r.client_id = $1) AS mine, count(*) AS all
       FROM ${t.request} r LEFT JOIN ${t.job} j USING (job_id)
       WHERE r.cancelled_at IS NULL AND (j.state IS NULL OR j.state = 'running')`,
      [clientId],
    );
    const { mine = '0', all = '0' } = rows[0] ?? {};
    if (Number(mine) >= limits.perClient) {
      throw new HeadwaterError(
        'too-many',
        `You have ${mine} unfinished exports, as many as allowed; wait for one to end or cancel it.`,
      );
    }
    if (Number(all) >= limits.inAll) {
      throw new HeadwaterError(
        'too-many',
        `The server has ${all} unfinished exports, as many as allowed; try again later.`,
      );
    }
  }

  async #emit(client: Queryable, message: RequestMessage): Promise<void> {
    const prefix = this.#options.messagePrefix ?? MESSAGE_PREFIX;
    await client.query('SELECT pg_logical_emit_message(true, $1, $2::text)', [
      prefix,
      JSON.stringify(message),
    ]);
  }
}

/** An id comes from a URL; one that PostgreSQL cannot even compare is no job's. */
function isId(text: string): boolean {
  return /^[\w-]{1,100}$/.test(text);
}
