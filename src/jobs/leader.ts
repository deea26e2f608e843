import pg from 'pg';
import type { ClientConfig } from 'pg';
import { sleep } from '../base/clock.ts';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import type { Queryable } from './job-rows.ts';
import type { JobTables } from './schema.ts';

const POLL = 500;
const TAKE_OVER_POLL = 100;

export interface LeaderOptions {
  readonly database: ClientConfig;
  readonly tables: JobTables;
  /** Ends the session of whoever leads instead of waiting for it; that one starts again and waits. */
  readonly takeOver?: boolean;
  /** Called once when another leads and this one has to wait. */
  readonly onWaiting?: () => void;
}

/**
 * The one writer of the projection. The lock belongs to a database session, and all writing goes over that very session:
 * whoever has lost the lock has lost its transaction too, so a zombie can't write. A crash ends the session, and so the lock.
 */
export class Leader {
  /** Fires when the session has broken and with it the lock. */
  readonly lost: AbortSignal;
  readonly #client: pg.Client;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(client: pg.Client, lost: AbortSignal) {
    this.#client = client;
    this.lost = lost;
  }

  /** Waits until nobody else leads. */
  static async acquire(options: LeaderOptions, signal: AbortSignal): Promise<Leader> {
    const client = new pg.Client(options.database);
    const lost = new AbortController();
    const lose = (why: string): void =>
      lost.abort(new HeadwaterError('unavailable', `the database session broke: ${why}`));
    client.on('error', (error) => {
      lose(messageOf(error));
    });
    client.on('end', () => {
      lose('it ended');
    });
    try {
      await client.connect();
      await client.query(SESSION);
      const waiting = AbortSignal.any([signal, lost.signal]);
      await (options.takeOver === true ? takeOver : standBy)(client, options, waiting);
      return new Leader(client, lost.signal);
    } catch (error) {
      await close(client);
      signal.throwIfAborted();
      throw new HeadwaterError('unavailable', `the database does not answer: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /** One transaction at a time, in the order of the calls. A failure ends the leadership: what is in doubt is read anew. */
  transaction<T>(work: (client: Queryable) => Promise<T>): Promise<T> {
    const result = this.#last.then(async () => {
      this.lost.throwIfAborted();
      await this.#client.query('BEGIN');
      const value = await work(this.#client);
      await this.#client.query('COMMIT');
      return value;
    });
    this.#last = result;
    result.catch(() => undefined);
    return result;
  }

  async release(): Promise<void> {
    await close(this.#client);
  }
}

/**
 * The server has to notice a leader whose machine has vanished. And a commit that a crash of the server takes back is folded
 * again from the log, so nobody has to wait for its disk.
 */
const SESSION = `SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
  SET synchronous_commit = off`;

const KEY = `hashtextextended($1, 0)`;

function lockName(tables: JobTables): string {
  return `headwater lead ${tables.schema}`;
}

async function standBy(client: pg.Client, options: LeaderOptions, signal: AbortSignal): Promise<void> {
  const text = `SELECT pg_try_advisory_lock(${KEY}) AS locked`;
  for (let told = false; ; told = true) {
    const { rows } = await client.query<{ locked: boolean }>(text, [lockName(options.tables)]);
    if (rows[0]?.locked === true) return;
    if (!told) options.onWaiting?.();
    await sleep(POLL, signal);
  }
}

/** Stands in the lock's queue, so that nobody who merely tries gets it first, and ends the session of whoever holds it. */
async function takeOver(
  client: pg.Client,
  { database, tables }: LeaderOptions,
  signal: AbortSignal,
): Promise<void> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const helper = new pg.Client(database);
  helper.on('error', () => undefined); // its calls tell
  await helper.connect();
  const locked = new AbortController();
  try {
    const lock = client.query(`SELECT pg_advisory_lock(${KEY})`, [lockName(tables)]).finally(() => {
      locked.abort();
    });
    lock.catch(() => undefined);
    const either = AbortSignal.any([signal, locked.signal]);
    while (!either.aborted) {
      await endHolder(helper, tables, rows[0]?.pid ?? 0);
      await sleep(TAKE_OVER_POLL, either).catch(() => undefined);
    }
    signal.throwIfAborted();
    await lock;
  } finally {
    await close(helper);
  }
}

/** A bigint key is shown in `pg_locks` as two halves, with objsubid 1. */
async function endHolder(client: pg.Client, tables: JobTables, self: number): Promise<void> {
  await client.query(
    `SELECT pg_terminate_backend(pid) FROM pg_locks, (SELECT ${KEY} AS key) k
     WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid <> $2
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND classid::bigint = ((k.key >> 32) & 4294967295) AND objid::bigint = (k.key & 4294967295)`,
    [lockName(tables), self],
  );
}

/** Says goodbye, but does not wait long for a server that may be gone. */
async function close(client: pg.Client): Promise<void> {
  const answered = new AbortController();
  const goodbye = client.end().finally(() => {
    answered.abort();
  });
  await Promise.race([goodbye, sleep(1_000, answered.signal)]).catch(() => undefined);
}
