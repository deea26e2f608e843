import pg from 'pg';
import type { Pool, PoolClient } from 'pg';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/service.ts';
import { awayError } from './errors.ts';
import { pinLate, sessionConfig } from './session.ts';
import type { SessionOptions } from './session.ts';

export interface PoolOptions extends SessionOptions {
  readonly url: string;
  /** The most connections. */
  readonly size?: number;
}

const CONNECT_TIMEOUT = 3_000;

/** Sessions for short transactions, each bounded by the server: what a frozen process had begun is rolled back within seconds. */
export function openPool({ url, size = 8, ...options }: PoolOptions, logger: Logger): Pool {
  const pool = new pg.Pool({
    ...sessionConfig(url, 'pool', { connectTimeoutMs: CONNECT_TIMEOUT, ...options }),
    max: size,
    // eslint-disable-next-line @typescript-eslint/no-misused-promises -- the pool waits for it, which its type does not say
    onConnect: (client) => pinLate(client, 'pool'),
  });
  // If a connection breaks while no query runs on it, only this listener hears of it. Without it the process would end.
  // The pool listens while the connection is idle, and not between the queries of a transaction. It is replaced at its next use.
  pool.on('connect', (client) =>
    client.on('error', (error) => logger.warn({}, `database: ${messageOf(error)}`)),
  );
  pool.on('error', () => undefined); // the same once more
  return pool;
}

/**
 * One transaction: all of `work` or nothing. Whatever says that the database is away is thrown as `unavailable`. If the
 * connection breaks during COMMIT, the outcome is unknown: PostgreSQL may have committed.
 */
export async function transaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  let client: PoolClient | undefined;
  let broken: Error | undefined;
  try {
    client = await pool.connect();
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    const away = awayError(error);
    if (away) broken = away;
    else await client?.query('ROLLBACK').catch((reason: unknown) => (broken = reason as Error));
    throw away ?? error;
  } finally {
    client?.release(broken);
  }
}

/** Runs a single statement or several reads, with the same errors as `transaction`. */
export async function asking<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw awayError(error) ?? error;
  }
}
