import pg from 'pg';
import type { Pool, QueryResult, QueryResultRow } from 'pg';
import { HeadwaterError } from '../base/errors.ts';
import { MAKE_DURABLE } from '../database/durable.ts';
import { asking } from '../database/pool.ts';

/**
 * Sends the statements at once, as one transaction that PostgreSQL itself commits durably. So a process that is frozen in the
 * middle leaves no transaction open and holds no lock, and there is one round trip. Returns the last row.
 */
export async function commitAtOnce<Row extends QueryResultRow>(pool: Pool, statements: string): Promise<Row> {
  const results = (await asking(() => pool.query<Row>(`${MAKE_DURABLE}; ${statements}`))) as unknown;
  const row = (results as QueryResult<Row>[]).at(-1)?.rows[0];
  if (row === undefined) throw new HeadwaterError('internal', 'PostgreSQL returned no row for a request');
  return row;
}

/** The value as an SQL literal. Requests come as JSON, URL or header; none of these can hold a NUL character. */
export function literal(value: string): string {
  if (value.includes('\0')) throw new HeadwaterError('bad-request', 'a NUL character cannot be stored');
  return pg.escapeLiteral(value);
}

/** SQL that takes a lock until the transaction ends. */
export function lockUntilCommit(name: string): string {
  return `pg_advisory_xact_lock(hashtextextended(${literal(name)}, 0))`;
}
