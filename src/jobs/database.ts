import pg from 'pg';
import type { ClientConfig, Pool, PoolClient } from 'pg';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/service.ts';

const CONNECT_TIMEOUT = 3_000;
/** A database that accepts a connection and then says nothing is away as well. */
const QUERY_TIMEOUT = 10_000;

export interface DatabaseOptions {
  readonly connectionString: string;
  /** Connections at most. */
  readonly size?: number;
  readonly connectTimeoutMs?: number;
  readonly queryTimeoutMs?: number;
}

export function clientConfig(options: DatabaseOptions): ClientConfig {
  return {
    connectionString: options.connectionString,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT,
    query_timeout: options.queryTimeoutMs ?? QUERY_TIMEOUT,
    keepAlive: true,
    application_name: 'headwater',
  };
}

export function openPool(options: DatabaseOptions, logger: Logger): Pool {
  const pool = new pg.Pool({ ...clientConfig(options), max: options.size ?? 8 });
  // A connection that breaks while no query is on it has nobody else to tell, and without a listener it would end the process.
  // The pool listens while the connection is idle, and not between the queries of a transaction. It is replaced at its next use.
  pool.on('connect', (client) =>
    client.on('error', (error) => logger.warn({}, `database: ${messageOf(error)}`)),
  );
  pool.on('error', () => undefined); // the same once more
  return pool;
}

/**
 * One transaction: all of `work` or nothing. Whatever says that the database is away is thrown as `unavailable`. If the
 * connection breaks during COMMIT itself, nobody can know; it may then have been carried out.
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

/** SQLSTATE classes and codes by which PostgreSQL says "not now" rather than "not so". */
const AWAY_STATE = /^(08|53|57P0|57014|55P03|40001|40P01|25006)/;
const AWAY_SYSTEM = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'EACCES',
]);
/** pg's own errors have no code. */
const AWAY_MESSAGE =
  /terminated|timeout|not queryable|Client has encountered a connection error|Cannot use a pool after/i;

function awayError(error: unknown): HeadwaterError | undefined {
  if (error instanceof HeadwaterError || !(error instanceof Error)) return undefined;
  const causes = error instanceof AggregateError ? (error.errors as unknown[]) : [error];
  const away = causes.some((cause) => {
    const { code } = cause as { code?: unknown };
    if (typeof code === 'string') return AWAY_SYSTEM.has(code) || AWAY_STATE.test(code);
    return AWAY_MESSAGE.test(messageOf(cause));
  });
  if (!away) return undefined;
  return new HeadwaterError('unavailable', `the database does not answer: ${messageOf(error)}`, {
    cause: error,
  });
}
