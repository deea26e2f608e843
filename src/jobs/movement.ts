import type { Pool } from 'pg';
import { asking } from '../database/pool.ts';
import type { Queryable } from './job-rows.ts';
import type { JobTables } from './schema.ts';

/** ms since 1970 by the clock of the database: the one clock that all processes of an installation share. */
export const DATABASE_CLOCK = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint';

/** ms; for this time after its last movement, an ended job still shows that its queue moves. */
const KEPT = 2 * 86_400_000;

export async function databaseTime(pool: Pool): Promise<number> {
  const { rows } = await asking(() => pool.query<{ now: string }>(`SELECT ${DATABASE_CLOCK} AS now`));
  return Number(rows[0]?.now);
}

/**
 * Records that the jobs moved now. The time of reading counts, not the time in the event: a worker's clock may be wrong, and an event
 * that arrives late is not a reason to end a job.
 */
export async function stampMoved(client: Queryable, t: JobTables, jobIds: Iterable<string>): Promise<void> {
  await client.query(
    `INSERT INTO ${t.movement} SELECT id, ${DATABASE_CLOCK} FROM unnest($1::text[]) id
     ON CONFLICT (job_id) DO UPDATE SET moved_at = excluded.moved_at`,
    [[...new Set(jobIds)].sort()],
  );
}

/** Counts a running job without a known movement as moved now. This happens after a crash of PostgreSQL and with new tables. */
export async function stampUnknown(pool: Pool, t: JobTables): Promise<void> {
  await asking(() =>
    pool.query(
      `INSERT INTO ${t.movement} SELECT job_id, ${DATABASE_CLOCK} FROM ${t.job} j
       WHERE state = 'running' AND NOT EXISTS (SELECT FROM ${t.movement} m WHERE m.job_id = j.job_id) ON CONFLICT DO NOTHING`,
    ),
  );
}

export async function forgetMovement(client: Queryable, t: JobTables): Promise<void> {
  await client.query(
    `DELETE FROM ${t.movement} m WHERE moved_at < ${DATABASE_CLOCK} - ${String(KEPT)}
       AND NOT EXISTS (SELECT FROM ${t.job} j WHERE j.job_id = m.job_id AND state = 'running')`,
  );
}
