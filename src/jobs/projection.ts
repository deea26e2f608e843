import { formatInstant } from '../fhir/instant.ts';
import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import type { ExportEvent } from '../events/export-event.ts';
import type { StoredRecord } from '../log/log.ts';
import { fold } from './fold.ts';
import type { Announcement } from './fold.ts';
import type { JobRecord } from './job-record.ts';
import type { JobView } from './job.ts';
import { loadJob, saveJob } from './job-rows.ts';
import type { Queryable } from './job-rows.ts';
import { readStatus } from './read-status.ts';
import type { StatusReading } from './read-status.ts';
import type { JobTables } from './schema.ts';
import { viewOf } from './view.ts';

export interface ProjectionOptions extends StatusReading {
  readonly tables: JobTables;
  /** The manifest of a completed job as JSON, with keys of the object store in place of URLs. Pure. */
  readonly manifest: (job: JobView) => string;
}

interface Requester {
  readonly clientId: string;
  readonly requestUrl: string;
  readonly acceptedAt: number | undefined;
}

interface Row {
  readonly offset: Offset;
  readonly n: number;
  readonly event: ExportEvent;
}

/** Maximum number of running jobs in memory. Others are read from the tables when they move. */
const CACHED_JOBS = 1_000;

/**
 * Writes status records into tables. The caller gives the transaction and is the only writer, so this keeps jobs in memory. After a
 * failed transaction, the instance must not be used again.
 */
export class Projection {
  readonly #options: ProjectionOptions;
  readonly #jobs = new Map<string, JobRecord>();

  constructor(options: ProjectionOptions) {
    this.#options = options;
  }

  /** The next offset of each partition that has one. */
  async offsets(client: Queryable): Promise<ReadonlyMap<number, Offset>> {
    const text = `SELECT partition, next FROM ${this.#options.tables.offset}`;
    const { rows } = await client.query<{ partition: number; next: string }>(text);
    return new Map(rows.map(({ partition, next }) => [partition, offset(BigInt(next))]));
  }

  /** Folds records of one partition, in order, and stores the next offset. Returns the number of announcements. */
  async apply(client: Queryable, partition: number, records: readonly StoredRecord[]): Promise<number> {
    const last = records.at(-1);
    if (last === undefined) return 0;
    const before = new Map<string, JobRecord | undefined>();
    const after = new Map<string, JobRecord>();
    const rows: Row[] = [];
    for (const record of records) {
      const event = await readStatus(this.#options, partition, record);
      if (!event) continue;
      if (!before.has(event.jobId)) before.set(event.jobId, await this.#load(client, event.jobId));
      const { job, announcements } = fold(after.get(event.jobId) ?? before.get(event.jobId), event);
      if (job === undefined) continue;
      after.set(event.jobId, job);
      for (const [n, announcement] of announcements.entries()) {
        rows.push({ offset: record.offset, n, event: await this.#render(client, job, announcement) });
      }
    }
    for (const [jobId, job] of after) {
      const was = before.get(jobId);
      if (was !== job) await saveJob(client, this.#options.tables, { before: was, after: job });
      this.#keep(job);
    }
    await this.#announce(client, partition, rows);
    await this.#leaveUnmarked(client, rows);
    await client.query(
      `INSERT INTO ${this.#options.tables.offset} (partition, next) VALUES ($1, $2)
       ON CONFLICT (partition) DO UPDATE SET next = excluded.next`,
      [partition, last.offset + 1],
    );
    return rows.length;
  }

  /** Empties the tables, as before the first event. */
  async clear(client: Queryable): Promise<void> {
    this.#jobs.clear();
    const { job, task, file, announcement, offset: offsets } = this.#options.tables;
    for (const table of [job, task, file, announcement, offsets]) await client.query(`DELETE FROM ${table}`);
  }

  async #load(client: Queryable, jobId: string): Promise<JobRecord | undefined> {
    return this.#jobs.get(jobId) ?? (await loadJob(client, this.#options.tables, jobId));
  }

  #keep(job: JobRecord): void {
    this.#jobs.delete(job.jobId);
    if (job.state === 'running') this.#jobs.set(job.jobId, job);
    const oldest = this.#jobs.keys().next();
    if (this.#jobs.size > CACHED_JOBS && oldest.done !== true) this.#jobs.delete(oldest.value);
  }

  async #render(client: Queryable, job: JobRecord, announcement: Announcement): Promise<ExportEvent> {
    const { jobId, plan } = job;
    const { clientId, requestUrl, acceptedAt } = plan ?? (await this.#requester(client, jobId));
    let manifest: string | undefined;
    if (announcement.kind === 'completed' && plan) {
      manifest = this.#options.manifest(viewOf({ ...plan, jobId, cancelRequested: false }, job));
    }
    return {
      jobId,
      clientId,
      requestUrl,
      kind: announcement.kind,
      at: announcement.kind === 'accepted' ? (acceptedAt ?? announcement.at) : announcement.at,
      transactionTime: plan === undefined ? undefined : formatInstant(plan.transactionTime),
      file: announcement.file,
      manifest,
      failure: announcement.kind === 'failed' ? job.failure : undefined,
    };
  }

  /** If a job ended before its plan, the log does not name its client. Its request does, and a request never changes. */
  async #requester(client: Queryable, jobId: string): Promise<Requester> {
    const text = `SELECT client_id, request_url, accepted_at FROM ${this.#options.tables.request} WHERE job_id = $1`;
    const { rows } = await client.query<{ client_id: string; request_url: string; accepted_at: string }>(
      text,
      [jobId],
    );
    const [row] = rows;
    return {
      clientId: row?.client_id ?? '',
      requestUrl: row?.request_url ?? '',
      acceptedAt: row && Number(row.accepted_at),
    };
  }

  /** Leaves a row for each completed export, whose folder gets a marker. */
  async #leaveUnmarked(client: Queryable, rows: readonly Row[]): Promise<void> {
    const ids = rows.filter(({ event }) => event.kind === 'completed').map(({ event }) => event.jobId);
    if (ids.length === 0) return;
    const text = `INSERT INTO ${this.#options.tables.unmarked} SELECT unnest($1::text[]) ON CONFLICT DO NOTHING`;
    await client.query(text, [ids]);
  }

  async #announce(client: Queryable, partition: number, rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    await client.query(
      `INSERT INTO ${this.#options.tables.announcement} (partition, "offset", n, event)
       SELECT $1, x."offset", x.n, x.event FROM jsonb_to_recordset($2) AS x("offset" bigint, n int, event jsonb)`,
      [partition, JSON.stringify(rows)],
    );
  }
}
