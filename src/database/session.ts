import pg from 'pg';
import type { ClientConfig } from 'pg';
import { unavailable } from './errors.ts';

/**
 * The purpose of a session:
 * - `pool`: the short transactions of requests and of the janitor;
 * - `lead`: holds the lock of the one capture or projector, and carries the projector's transactions;
 * - `catalog`: short questions about the source and changes of its objects;
 * - `load`: one long COPY, which waits for Kafka whenever Kafka is slow;
 * - `stream`: the replication slot.
 */
export type SessionKind = 'pool' | 'lead' | 'catalog' | 'load' | 'stream';

const CONNECT_TIMEOUT = 5_000;

/** In ms; 0 is without limit. Each one ends a session or statement on the server, so that a client that is frozen holds nothing. */
interface Timeouts {
  readonly statement: number;
  readonly lock: number;
  readonly idleInTransaction: number;
  readonly transaction: number;
}

const TIMEOUTS: Readonly<Record<SessionKind, Timeouts>> = {
  pool: { statement: 8_000, lock: 3_000, idleInTransaction: 5_000, transaction: 20_000 },
  lead: { statement: 60_000, lock: 10_000, idleInTransaction: 60_000, transaction: 0 },
  catalog: { statement: 30_000, lock: 10_000, idleInTransaction: 30_000, transaction: 0 },
  load: { statement: 0, lock: 30_000, idleInTransaction: 0, transaction: 0 },
  stream: { statement: 0, lock: 0, idleInTransaction: 0, transaction: 0 },
};

/** The client waits a little longer than the server for a statement of a pool or catalog session. */
const ANSWER_MARGIN = 2_000;

/** Settings that a session would inherit from the database or role; they could change the form of values, or hide rows. */
const PINNED: Readonly<Record<string, string>> = {
  datestyle: 'ISO,YMD',
  timezone: 'UTC',
  intervalstyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  row_security: 'off', // an error where a policy would hide rows
  search_path: 'pg_catalog',
  standard_conforming_strings: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  idle_session_timeout: '0', // leads and streams must idle
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '3',
  wal_sender_timeout: '30s',
};

/** Settings in the URL that would override ours. */
const OVERRULED = [
  'options',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'query_timeout',
  'client_encoding',
  'replication',
];

export interface SessionOptions {
  readonly connectTimeoutMs?: number;
  /** The name that `pg_stat_activity` shows; the kind by default. */
  readonly applicationName?: string;
  /** Replaces the limit of the kind; 0 is without limit. */
  readonly statementMs?: number;
}

/**
 * How a session begins. The settings go into the startup packet: what is there counts more than ALTER ROLE, ALTER DATABASE and
 * the server's configuration, and it holds for a replication session as well. Settings that the URL's own `options` name and
 * that are not pinned here are kept.
 */
export function sessionConfig(url: string, kind: SessionKind, options: SessionOptions = {}): ClientConfig {
  const { own, connectionString } = splitUrl(url);
  const { lock, idleInTransaction, ...timeouts } = TIMEOUTS[kind];
  const statement = options.statementMs ?? timeouts.statement;
  const settings = {
    ...PINNED,
    statement_timeout: String(statement),
    lock_timeout: String(lock),
    idle_in_transaction_session_timeout: String(idleInTransaction),
    // If a crash of the server loses part of the projection, the projector folds it again from the log.
    ...(kind === 'lead' ? { synchronous_commit: 'off' } : {}),
    // A load or a stream may stop reading for long; for the others a client that does not read is gone.
    tcp_user_timeout: kind === 'load' || kind === 'stream' ? '0' : '25000',
  };
  const pinned = Object.entries(settings).map(([name, value]) => `-c ${name}=${escapeOption(value)}`);
  return {
    connectionString,
    options: [own, ...pinned].join(' ').trim(),
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT,
    ...(statement > 0 && kind !== 'load' && kind !== 'stream'
      ? { query_timeout: statement + ANSWER_MARGIN }
      : {}),
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    application_name: options.applicationName ?? `headwater ${kind}`,
    ...(kind === 'stream' ? { replication: 'database' } : {}),
  };
}

/** A session of its own. Throws `unavailable`, or `refused` when the login is. The caller ends it. */
export async function openSession(
  url: string,
  kind: SessionKind,
  options: SessionOptions = {},
): Promise<pg.Client> {
  const client = new pg.Client(sessionConfig(url, kind, options));
  client.on('error', () => undefined); // a query in flight rejects with it
  try {
    await client.connect();
    await pinLate(client, kind);
    return client;
  } catch (error) {
    client.end().catch(() => undefined);
    throw unavailable(error);
  }
}

/** The setting that servers before PostgreSQL 17 do not know and would refuse in a startup packet. */
export async function pinLate(client: pg.ClientBase, kind: SessionKind): Promise<void> {
  await client.query(
    `SELECT CASE WHEN current_setting('server_version_num')::int >= 170000
       THEN set_config('transaction_timeout', '${String(TIMEOUTS[kind].transaction)}', false) END`,
  );
}

function splitUrl(url: string): { own: string; connectionString: string } {
  const parsed = new URL(url);
  const own = parsed.searchParams.get('options') ?? '';
  for (const name of OVERRULED) parsed.searchParams.delete(name);
  return { own, connectionString: parsed.href };
}

function escapeOption(value: string): string {
  return value.replaceAll(/[\\\s]/g, (char) => `\\${char}`);
}
