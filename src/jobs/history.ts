import type { Queryable } from './job-rows.ts';
import type { JobTables } from './schema.ts';

/** Maximum number of jobs in one transaction. */
const BATCH = 1_000;

/**
 * Jobs whose files are gone and whose last event is older than the time.
 * The condition depends only on the log, so a rebuild selects the same jobs.
 */
const FORGOTTEN = `state IN ('cancelled', 'expired') AND active_at < $1`;

/**
 * Deletes a batch of the jobs whose last event is older than the time, with their requests. Stores the time, so that a rebuild
 * does not restore these jobs. Returns their number, and whether this was the last batch.
 */
export async function forgetJobs(
  client: Queryable,
  t: JobTables,
  before: number,
): Promise<{ forgotten: number; last: boolean }> {
  await client.query(
    `INSERT INTO ${t.history} (before) VALUES ($1) ON CONFLICT (one) DO UPDATE SET before = greatest(history.before, excluded.before)`,
    [before],
  );
  const forgotten = await drop(client, t, before, BATCH);
  return { forgotten, last: forgotten < BATCH };
}

/** After a rebuild, deletes again the jobs that were forgotten before it: the log may still hold a part of them. */
export async function forgetAgain(client: Queryable, t: JobTables): Promise<void> {
  const { rows } = await client.query<{ before: string }>(`SELECT before FROM ${t.history}`);
  if (rows[0]) await drop(client, t, Number(rows[0].before));
}

/** Deletes jobs with their requests: a request without its job would look as if it still waited for a plan. */
async function drop(client: Queryable, t: JobTables, before: number, most?: number): Promise<number> {
  const limit = most === undefined ? '' : `ORDER BY active_at LIMIT ${String(most)}`;
  const { rows } = await client.query<{ id: string }>(
    `SELECT job_id AS id FROM ${t.job} WHERE ${FORGOTTEN} ${limit}`,
    [before],
  );
  if (rows.length === 0) return 0;
  const ids = rows.map(({ id }) => id);
  for (const table of [t.file, t.task, t.job, t.request])
    await client.query(`DELETE FROM ${table} WHERE job_id = ANY ($1)`, [ids]);
  return ids.length;
}
