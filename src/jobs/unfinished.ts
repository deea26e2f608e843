import type { Pool } from 'pg';
import { asking } from '../database/pool.ts';
import type { JobTables } from './schema.ts';

/**
 * For a row `r` of the unfinished requests. A subquery that yields a value is looked up by the key row by row; NOT EXISTS may
 * become a join that reads all jobs there ever were, since a table as small and busy as this one has no statistics.
 */
export function hasNoJob(t: JobTables): string {
  return `(SELECT state FROM ${t.job} j WHERE j.job_id = r.job_id) IS NULL`;
}

/** How many requests have no plan yet, and how many jobs are being worked on. Throws `unavailable`. */
export async function countUnfinished(
  pool: Pool,
  t: JobTables,
): Promise<{ accepted: number; running: number }> {
  const { rows } = await asking(() =>
    pool.query<{ accepted: string; running: string }>(
      `SELECT (SELECT count(*) FROM ${t.unfinished} r
                 WHERE ${hasNoJob(t)}) AS accepted,
              (SELECT count(*) FROM ${t.job} WHERE state = 'running') AS running`,
    ),
  );
  return { accepted: Number(rows[0]?.accepted ?? 0), running: Number(rows[0]?.running ?? 0) };
}
