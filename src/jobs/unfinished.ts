import type { Pool } from 'pg';
import { asking } from '../database/pool.ts';
import type { JobTables } from './schema.ts';

/** How many requests have no plan yet, and how many jobs are being worked on. Throws `unavailable`. */
export async function countUnfinished(
  pool: Pool,
  t: JobTables,
): Promise<{ accepted: number; running: number }> {
  const { rows } = await asking(() =>
    pool.query<{ accepted: string; running: string }>(
      `SELECT (SELECT count(*) FROM ${t.unfinished} r
                 WHERE NOT EXISTS (SELECT FROM ${t.job} j WHERE j.job_id = r.job_id)) AS accepted,
              (SELECT count(*) FROM ${t.job} WHERE state = 'running') AS running`,
    ),
  );
  return { accepted: Number(rows[0]?.accepted ?? 0), running: Number(rows[0]?.running ?? 0) };
}
