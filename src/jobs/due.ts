import type { Pool } from 'pg';
import { asking } from '../database/pool.ts';
import type { JobState } from './job.ts';
import type { JobTables } from './schema.ts';
import { hasNoJob } from './unfinished.ts';

export interface Overdue {
  readonly jobId: string;
  readonly reason: 'deadline' | 'max-export';
}

const MAX_ROWS = 200;
const DAY = 86_400_000;

/**
 * Planned jobs that moved last before `idleSince`, or were accepted before `acceptedBefore`. All times come from the database's
 * clock, so no clock of a process decides about a job. A job without a running task waits in a queue. The queue moves as long as
 * any job moves, so such a job is idle only if all jobs are. The queue is ordered: if a job of the same lane that was accepted much
 * later is complete, the tasks of this job are missing from the log.
 */
export async function overdueJobs(
  pool: Pool,
  t: JobTables,
  limits: { readonly now: number; readonly idleSince: number; readonly acceptedBefore: number },
): Promise<Overdue[]> {
  const { rows } = await asking(() =>
    pool.query<Overdue>(
      `SELECT job_id AS "jobId", CASE WHEN idle THEN 'deadline' ELSE 'max-export' END AS reason FROM (
         SELECT job_id, plan, moved_at < $1::bigint AND (
             EXISTS (SELECT FROM ${t.task} k WHERE k.job_id = j.job_id AND starts > 0 AND NOT completed)
             OR NOT EXISTS (SELECT FROM ${t.movement} WHERE moved_at >= $1)
             OR EXISTS (
               SELECT FROM ${t.movement} seen JOIN ${t.job} o USING (job_id) JOIN ${t.task} later USING (job_id)
               WHERE o.state = 'completed' AND seen.moved_at >= $1
                 AND (o.plan->>'acceptedAt')::bigint > greatest(
                   m.moved_at + ($3::bigint - $1), ((j.plan->>'acceptedAt')::bigint + $3::bigint) / 2)
                 AND later.lane IN (SELECT lane FROM ${t.task} k WHERE k.job_id = j.job_id))
           ) AS idle
         FROM ${t.job} j JOIN ${t.movement} m USING (job_id) WHERE state = 'running') candidate
       WHERE idle OR (plan->>'acceptedAt')::bigint < $2 LIMIT ${String(MAX_ROWS)}`,
      [limits.idleSince, limits.acceptedBefore, limits.now],
    ),
  );
  return rows;
}

/** Requests without a plan that were accepted before the time. */
export async function overdueRequests(pool: Pool, t: JobTables, acceptedBefore: number): Promise<Overdue[]> {
  const { rows } = await asking(() =>
    pool.query<Overdue>(
      `SELECT job_id AS "jobId", 'max-export' AS reason FROM ${t.unfinished} r
       WHERE accepted_at < $1 AND ${hasNoJob(t)} LIMIT ${String(MAX_ROWS)}`,
      [acceptedBefore],
    ),
  );
  return rows;
}

/** Ids of all unfinished jobs that were accepted before the time. */
export async function unfinishedBefore(pool: Pool, t: JobTables, acceptedBefore: number): Promise<string[]> {
  const { rows } = await asking(() =>
    pool.query<{ id: string }>(`SELECT job_id AS id FROM ${t.unfinished} WHERE accepted_at < $1`, [
      acceptedBefore,
    ]),
  );
  return rows.map(({ id }) => id);
}

/**
 * Ids of jobs whose files have been kept for as long as the roles of their clients say, or else for `retentionMs`, and that still have them.
 * @param now ms since 1970, by the clock of the database
 */
export async function expiredJobs(
  pool: Pool,
  t: JobTables,
  { now, retentionMs }: { readonly now: number; readonly retentionMs: number },
): Promise<string[]> {
  const { rows } = await asking(() =>
    pool.query<{ id: string }>(
      `SELECT job_id AS id FROM ${t.job} j LEFT JOIN ${t.request} r USING (job_id)
       WHERE state IN ('completed', 'failed') AND active_at < $1::bigint - coalesce(retention_ms, $2::bigint) LIMIT ${String(MAX_ROWS)}`,
      [now, retentionMs],
    ),
  );
  return rows.map(({ id }) => id);
}

/** Folders of jobs that failed, were cancelled or expired since the time. */
export async function endedFolders(pool: Pool, t: JobTables, since: number): Promise<string[]> {
  const { rows } = await asking(() =>
    pool.query<{ folder: string }>(
      `SELECT plan->>'folder' AS folder FROM ${t.job}
       WHERE state IN ('failed', 'cancelled', 'expired') AND active_at > $1 AND plan IS NOT NULL`,
      [since],
    ),
  );
  return rows.map(({ folder }) => folder);
}

/** The given folders that can be removed: their job has ended, or they are a day old and have no job. */
export async function needlessFolders(
  pool: Pool,
  t: JobTables,
  folders: readonly string[],
  now: number,
): Promise<string[]> {
  const ours = folders.flatMap((folder) => {
    const parsed = parseFolder(folder);
    return parsed ? [{ folder, ...parsed }] : [];
  });
  const { rows } = await asking(() =>
    pool.query<{ id: string; state: JobState | null; requested: boolean }>(
      `SELECT id, j.state, r.job_id IS NOT NULL AS requested FROM unnest($1::text[]) id
       LEFT JOIN ${t.job} j ON j.job_id = id LEFT JOIN ${t.request} r ON r.job_id = id`,
      [ours.map(({ jobId }) => jobId)],
    ),
  );
  const known = new Map(rows.map((row) => [row.id, row]));
  return ours.flatMap(({ folder, jobId, time }) => {
    const { state = null, requested = false } = known.get(jobId) ?? {};
    const ended = state === 'failed' || state === 'cancelled' || state === 'expired';
    const orphan = state === null && !requested && time < now - DAY;
    return ended || orphan ? [folder] : [];
  });
}

/** Job and time of the folder in which a file stands, directly or in a folder of a layout; undefined for any other key. */
export function jobOfKey(key: string): ReturnType<typeof parseFolder> {
  const parts = key.split('/');
  return parseFolder(parts[0] ?? '') ?? parseFolder(parts.slice(0, 2).join('/'));
}

/** Job and time of a folder that a plan has named; undefined for any other name. */
export function parseFolder(folder: string): { readonly jobId: string; readonly time: number } | undefined {
  const match = /^(?:[A-Za-z0-9-]+\/)?(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z_([\w-]+)$/.exec(folder);
  if (!match) return undefined;
  const [, year, month, day, hours, minutes, seconds, jobId = ''] = match;
  const time = Date.parse(
    `${String(year)}-${String(month)}-${String(day)}T${String(hours)}:${String(minutes)}:${String(seconds)}Z`,
  );
  return Number.isNaN(time) ? undefined : { jobId, time };
}
