import type pg from 'pg';
import { HeadwaterError } from '../base/errors.ts';
import type { Catalog } from './catalog.ts';
import type { Problem } from './source-problem.ts';

/** PostgreSQL's code for a lock that was not had in time. */
const LOCK_NOT_AVAILABLE = '55P03';

/**
 * Runs the SQL that is ours to run. Everything after a lock that waits would wait for it, so it waits for two seconds at most. Throws
 * `unavailable` that names who holds the lock.
 */
export async function mend(
  client: pg.ClientBase,
  problems: readonly Problem[],
  catalog: Catalog,
): Promise<void> {
  await client.query(`SET lock_timeout = '2s'`);
  for (const sql of problems.flatMap((problem) => problem.mend ?? [])) {
    try {
      await client.query(sql);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === LOCK_NOT_AVAILABLE)) throw error;
      const holders = await lockHolders(client, catalog);
      throw new HeadwaterError(
        'unavailable',
        `${sql} waits for a lock that ${holders === '' ? 'another session held' : `is held by ${holders}`}; Headwater tries again`,
        { cause: error },
      );
    }
  }
  await client.query('RESET lock_timeout');
}

/** Returns the sessions that have a lock on a followed table. It shows no query, since that may hold resources. */
async function lockHolders(client: pg.ClientBase, { tables }: Catalog): Promise<string> {
  const oids = tables.flatMap((table) =>
    [table, ...(table?.partitions ?? [])].flatMap((one) => one?.oid ?? []),
  );
  const { rows } = await client.query<{ holder: string }>(
    `SELECT DISTINCT CASE WHEN l.pid IS NULL THEN 'a prepared transaction'
       ELSE concat('process ', l.pid, ' of ', a.usename, ' (', concat_ws(', ', nullif(a.application_name, ''), a.state), ')') END AS holder
     FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.relation = ANY ($1::oid[]) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1 LIMIT 5`,
    [oids],
  );
  return rows.map(({ holder }) => holder).join(', ');
}
