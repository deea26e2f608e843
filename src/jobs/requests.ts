import type { Pool } from 'pg';
import { exportCancelled, exportRequested } from '../audit/entries.ts';
import { HeadwaterError } from '../base/errors.ts';
import type { AuditAgent, AuditEntry } from '../events/audit.ts';
import type { RequestMessage } from '../events/commands.ts';
import type { ExportParameters } from '../events/request.ts';
import type { Grant } from '../events/grant.ts';
import type { RequestSeal } from '../events/request-seal.ts';
import { asking } from '../database/pool.ts';
import { jsonLiteral } from './audit-rows.ts';
import { commitAtOnce, literal, lockUntilCommit } from './commit-at-once.ts';
import type { JobFailure, Jobs, JobView, SubmitRequest } from './job.ts';
import { jobOf, jobWithProgressAsJson, parametersOf } from './job-rows.ts';
import type { JobRow } from './job-rows.ts';
import { DATABASE_CLOCK } from './movement.ts';
import { PlanWatch } from './plan-watch.ts';
import type { JobTables } from './schema.ts';
import { viewOf } from './view.ts';

export interface JobLimits {
  /** Unfinished jobs of one client, at most. */
  readonly perClient: number;
  /** Unfinished jobs of all clients together, at most. */
  readonly inAll: number;
}

const DAY = 86_400_000;

/** If fewer jobs than this are left until `inAll`, kick-offs count one after the other. Farther from the limit, they cannot exceed it together. */
const NEAR_THE_LIMIT = 64;

export interface JobRequestsOptions {
  readonly pool: Pool;
  readonly tables: JobTables;
  readonly limits: JobLimits;
  /** In an open server only its id protects a job's URL, so ids must not be guessable. */
  readonly newId: () => string;
  /** Prefix of the logical message: the installation's name. Capture listens to the same one. */
  readonly messagePrefix: string;
  readonly seal: RequestSeal;
}

interface FoundRow {
  readonly client_id: string;
  readonly request_url: string;
  readonly parameters: ExportParameters;
  readonly accepted_at: string;
  readonly cancelled: boolean;
  readonly retention: string | null;
  readonly job: JobRow | null;
}

/**
 * The gateway's side of jobs. Invariant: a request row, its entry of the audit log and its message in the write-ahead log are written together or not at all,
 * so Headwater exports exactly the requests that got a 202. A crash leaves no half of them.
 */
export class JobRequests implements Jobs {
  readonly #options: JobRequestsOptions;
  readonly #plans: PlanWatch;

  constructor(options: JobRequestsOptions) {
    this.#options = options;
    this.#plans = new PlanWatch(options.pool, options.tables);
  }

  async submit(request: SubmitRequest): Promise<string> {
    const { pool, tables: t, newId, limits, seal } = this.#options;
    const { clientId, requestUrl, parameters, grant, agent = { client: clientId } } = request;
    const message = this.#sealed({
      kind: 'ExportRequested',
      jobId: newId(),
      clientId,
      requestUrl,
      parameters,
      grant,
    } as const);
    const { inAll } = limits;
    const { maxUnfinished = Infinity, perDay, retentionMs } = request.limits ?? {};
    const perClient = Math.min(limits.perClient, maxUnfinished);
    const lastDay = `FROM ${t.request} WHERE client_id = ${literal(clientId)} AND accepted_at > ${DATABASE_CLOCK} - ${String(DAY)}`;
    const rights = grant === undefined ? 'NULL' : `${literal(JSON.stringify(grant))}::jsonb`;
    const entry = exportRequested({ jobId: message.jobId, agent, grant, parameters }, seal);
    const room = await commitAtOnce<Room>(
      pool,
      // Without the lock, two kick-offs that count at once would both find room for the last job.
      `SELECT ${lockUntilCommit(`headwater submit ${t.schema} ${clientId}`)};
       SELECT ${lockUntilCommit(`headwater submit ${t.schema}`)}
         FROM (SELECT count(*) AS n FROM (SELECT FROM ${t.unfinished} LIMIT ${String(inAll)}) open) counted
         WHERE n >= ${String(inAll - NEAR_THE_LIMIT)};
       WITH counted AS (
         SELECT (SELECT count(*) FROM ${t.unfinished} WHERE client_id = ${literal(clientId)}) AS mine,
           (SELECT count(*) FROM (SELECT FROM ${t.unfinished} LIMIT ${String(inAll)}) open) AS all,
           ${perDay === undefined ? '0' : `(SELECT count(*) ${lastDay})`} AS today,
           ${perDay === undefined ? '0' : `(SELECT min(accepted_at) + ${String(DAY)} - ${DATABASE_CLOCK} ${lastDay})`} AS wait
       ), request AS (
         INSERT INTO ${t.request} (job_id, client_id, request_url, parameters, "grant", seal, asked_by, retention_ms, accepted_at)
         SELECT ${literal(message.jobId)}, ${literal(clientId)}, ${literal(requestUrl)}, ${literal(JSON.stringify(parameters))}::jsonb,
           ${rights}, ${literal(message.seal)}, ${jsonLiteral(agent)}, ${retentionMs === undefined ? 'NULL' : String(Math.round(retentionMs))}, ${DATABASE_CLOCK}
         FROM counted WHERE mine < ${String(perClient)} AND counted.all < ${String(inAll)} AND ${perDay === undefined ? 'true' : `today < ${String(perDay)}`}
         RETURNING job_id, client_id, accepted_at AS at
       ), unfinished AS (
         INSERT INTO ${t.unfinished} SELECT job_id, client_id, at FROM request
       ), audited AS (${this.#audited(entry, 'request')}
       ), emitted AS (${this.#emit(message, 'request', 'acceptedAt')})
       SELECT mine::int, counted.all::int AS all, today::int, coalesce(wait, 0)::int AS wait, (SELECT count(*)::int FROM emitted) AS emitted FROM counted`,
    );
    refuseTooMany(room, { perClient, perDay });
    return message.jobId;
  }

  refusal(jobId: string, waitMs: number): Promise<JobFailure | undefined> {
    return this.#plans.wait(jobId, waitMs);
  }

  async hasFiles(jobId: string): Promise<boolean> {
    if (!isId(jobId)) return false;
    const { pool, tables: t } = this.#options;
    const { rowCount } = await asking(() =>
      pool.query(
        `SELECT FROM ${t.request} r WHERE job_id = $1 AND cancelled_at IS NULL
           AND NOT EXISTS (SELECT FROM ${t.job} j WHERE j.job_id = r.job_id AND state IN ('cancelled', 'expired'))`,
        [jobId],
      ),
    );
    return rowCount === 1;
  }

  async find(jobId: string, clientId: string): Promise<JobView | undefined> {
    if (!isId(jobId)) return undefined;
    const { pool, tables: t } = this.#options;
    const { rows } = await asking(() =>
      pool.query<FoundRow>(
        `SELECT r.client_id, r.request_url, r.parameters - 'patients' AS parameters, r.accepted_at, r.cancelled_at IS NOT NULL AS cancelled, r.retention_ms AS retention,
           CASE WHEN j.job_id IS NOT NULL THEN ${jobWithProgressAsJson(t)} END AS job
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
    const view = viewOf(request, row.job === null ? undefined : jobOf(row.job));
    return row.retention === null ? view : { ...view, retentionMs: Number(row.retention) };
  }

  async grantAsOf(clientId: string, transactionTime: number): Promise<Grant | undefined> {
    const { pool, tables: t } = this.#options;
    const { rows } = await asking(() =>
      pool.query<{ grant: Grant | null }>(
        `SELECT r."grant" FROM ${t.request} r JOIN ${t.job} j USING (job_id)
         WHERE r.client_id = $1 AND j.plan->>'transactionTime' = $2 ORDER BY r.accepted_at DESC LIMIT 1`,
        [clientId, String(transactionTime)],
      ),
    );
    return rows[0]?.grant ?? undefined;
  }

  async cancel(jobId: string, clientId: string, agent: AuditAgent = { client: clientId }): Promise<boolean> {
    if (!isId(jobId)) return false;
    const { pool, tables: t } = this.#options;
    const { emitted } = await commitAtOnce<{ readonly emitted: number }>(
      pool,
      `WITH cancelled AS (
         UPDATE ${t.request} r SET cancelled_at = ${DATABASE_CLOCK}
         WHERE job_id = ${literal(jobId)} AND client_id = ${literal(clientId)} AND cancelled_at IS NULL
           AND NOT EXISTS (SELECT FROM ${t.job} j WHERE j.job_id = r.job_id AND state IN ('cancelled', 'expired'))
         RETURNING job_id, cancelled_at AS at
       ), finished AS (
         DELETE FROM ${t.unfinished} WHERE job_id IN (SELECT job_id FROM cancelled)
       ), audited AS (${this.#audited(exportCancelled(jobId, agent), 'cancelled')}
       ), emitted AS (${this.#emit(this.#sealed({ kind: 'ExportCancelRequested', jobId } as const), 'cancelled', 'cancelledAt')})
       SELECT count(*)::int AS emitted FROM emitted`,
    );
    return emitted === 1;
  }

  /** SQL that stores the entry if the common table expression `rows` has a row. */
  #audited(entry: AuditEntry, rows: string): string {
    return `INSERT INTO ${this.#options.tables.audit} (id, at, entry) SELECT ${literal(entry.id)}, at, ${jsonLiteral(entry)} FROM ${rows}
      ON CONFLICT DO NOTHING`;
  }

  #sealed<T extends Untimed>(message: T): T & { readonly seal: string } {
    return { ...message, seal: this.#options.seal.of(message) };
  }

  /** SQL that emits the message if the common table expression `rows` has a row. The row's time goes into the field. */
  #emit(message: Untimed, rows: string, field: 'acceptedAt' | 'cancelledAt'): string {
    const { messagePrefix } = this.#options;
    const timed = `${literal(JSON.stringify(message))}::jsonb || jsonb_build_object('${field}', at)`;
    return `SELECT pg_logical_emit_message(true, ${literal(messagePrefix)}, (${timed})::text) FROM ${rows}`;
  }
}

/** A message without its time: the database adds it, because all processes share its clock. */
type Untimed =
  | Omit<Extract<RequestMessage, { readonly kind: 'ExportRequested' }>, 'acceptedAt'>
  | Omit<Extract<RequestMessage, { readonly kind: 'ExportCancelRequested' }>, 'cancelledAt'>;

interface Room {
  readonly mine: number;
  readonly all: number;
  /** Exports of the client in the last 24 hours, if they are limited. */
  readonly today: number;
  /** ms until the first of these is 24 hours old. */
  readonly wait: number;
  readonly emitted: number;
}

function refuseTooMany(
  { mine, all, today, wait, emitted }: Room,
  { perClient, perDay = Infinity }: { readonly perClient: number; readonly perDay: number | undefined },
): void {
  if (emitted > 0) return;
  if (today >= perDay) {
    const retryAfter = Math.max(1, Math.ceil(wait / 1_000));
    throw new HeadwaterError(
      'too-many',
      `You have asked for ${String(today)} exports in the last 24 hours, as many as your role allows; ask again in ${String(Math.ceil(retryAfter / 60))} minutes.`,
      { retryAfter },
    );
  }
  if (mine >= perClient) {
    throw new HeadwaterError(
      'too-many',
      `You have ${String(mine)} unfinished exports, as many as allowed; wait for one to end or cancel it.`,
    );
  }
  throw new HeadwaterError(
    'too-many',
    `The server has ${String(all)} unfinished exports, as many as allowed; try again later.`,
  );
}

/** An id comes from a URL. This excludes text that PostgreSQL cannot compare. */
function isId(text: string): boolean {
  return /^[\w-]{1,100}$/.test(text);
}
