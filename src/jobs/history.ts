import type { Queryable } from './job-rows.ts';
import type { JobTables } from './schema.ts';

/** Jobs in one transaction, at most. */
const BATCH = 1_000;

/**
 * Jobs that need no more: their files are gone, and nothing has happened to them since the time.
 * Depends on the log alone, so that a rebuild finds the same.
 */
const FORGOTTEN = `state IN ('cancelled', 'expired') AND active_at < $1`;

/**
 * Forgets a batch of the jobs whose last event is older than the time, with their requests, and remembers the time: a rebuild
 * must not bring them back. Returns how many there were; fewer than a batch are the last.
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

/** What was forgotten before is forgotten again, when the tables have been made from a log that still has a part of it. */
export async function forgetAgain(client: Queryable, t: JobTables): Promise<void> {
  const { rows } = await client.query<{ before: string }>(`SELECT before FROM ${t.history}`);
  if (rows[0]) await drop(client, t, Number(rows[0].before));
}

/** Jobs and their requests: a request without its job would look as if it still waited. */
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
