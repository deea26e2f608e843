import type { Pool } from 'pg';
import { asking } from '../database/pool.ts';
import type { JobTables } from './schema.ts';

/**
 * SQL condition for a row `r` of the unfinished requests. PostgreSQL runs a scalar subquery as one key lookup per row. It may turn
 * NOT EXISTS into a join that reads all past jobs, because a small and busy table like this one has no statistics.
 */
export function hasNoJob(t: JobTables): string {
  return `(SELECT state FROM ${t.job} j WHERE j.job_id = r.job_id) IS NULL`;
}

/** Numbers of requests without a plan and of running jobs. Throws `unavailable`. */
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
