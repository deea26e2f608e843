import type pg from 'pg';
import type { ClientBase } from 'pg';
import { sleep } from '../base/clock.ts';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import { unavailable } from './errors.ts';
import { openSession } from './session.ts';

/** Pause between two attempts to lead, in ms. */
const POLL = 500;
const TAKE_OVER_POLL = 50;
/** Time in ms that a session gets to end. */
const END_PATIENCE = 1_000;
/** In ms: the pause between two signs of life of a leader, and the lease, after which a silent leader is replaced. */
const BEAT = 3_000;
const LEASE = 15_000;

export interface LeadOptions {
  readonly url: string;
  /** Name of the lock in this database: the led service, and the installation's name. */
  readonly name: string;
  /** Ends the session of the leader instead of waiting for it. That process starts again and waits. */
  readonly takeOver?: boolean;
  /** Called once if another process leads and this one waits. */
  readonly onWaiting?: () => void;
  /** Called when the session of a silent leader was ended. */
  readonly onSilent?: (holder: { readonly pid: number }) => void;
  /** Time limit of the session's statements, in ms; 0 is no limit. */
  readonly statementMs?: number;
  /** In ms. */
  readonly lease?: { readonly beat: number; readonly length: number };
}

/**
 * The right to be the one capture or projector of an installation. The lock belongs to a database session: a crash ends both.
 * The lease is what PostgreSQL knows of that session: a leader that lives sends a statement every few seconds, and a standby
 * ends the session of one that has not done so for the lease, because it is frozen or its host has vanished. When it wakes, it
 * finds `lost`, and can write nothing: the projector writes over this very session, capture is fenced by Kafka.
 */
export class Lead {
  /** Fires when the session has ended and with it the right. */
  readonly lost: AbortSignal;
  readonly #client: pg.Client;
  readonly #lose: (why: string) => void;
  readonly #timer: NodeJS.Timeout;
  #last: Promise<unknown> = Promise.resolve();
  #busy = false;

  private constructor(client: pg.Client, beat: number) {
    const lost = new AbortController();
    this.#client = client;
    this.lost = lost.signal;
    this.#lose = (why) =>
      lost.abort(new HeadwaterError('unavailable', `the database session that leads has ended: ${why}`));
    client.on('error', (error) => this.#lose(messageOf(error)));
    client.on('end', () => this.#lose('the server closed it'));
    this.#timer = setInterval(() => this.#beat(), beat);
  }

  /** Waits until no other process leads. Throws `unavailable` or `refused`. */
  static async acquire(options: LeadOptions, signal: AbortSignal): Promise<Lead> {
    const { url, lease, statementMs, name: applicationName } = options;
    const client = await openSession(url, 'lead', {
      applicationName,
      ...(statementMs === undefined ? {} : { statementMs }),
    });
    try {
      await lock(client, options, signal);
      return new Lead(client, lease?.beat ?? BEAT);
    } catch (error) {
      await close(client);
      signal.throwIfAborted();
      throw unavailable(error);
    }
  }

  /** One transaction at a time, in the order of the calls. A failure ends the leadership: what is in doubt is read again. */
  transaction<T>(work: (client: Pick<ClientBase, 'query'>) => Promise<T>): Promise<T> {
    const result = this.#next(async () => {
      this.lost.throwIfAborted();
      await this.#client.query('BEGIN');
      const value = await work(this.#client);
      await this.#client.query('COMMIT');
      return value;
    });
    result.catch(() => undefined);
    return result;
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    await close(this.#client);
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(async () => {
      this.#busy = true;
      try {
        return await work();
      } finally {
        this.#busy = false;
      }
    });
    this.#last = result;
    return result;
  }

  /** Sends a sign of life, unless a transaction runs: its statements are signs of life. */
  #beat(): void {
    if (this.#busy || this.lost.aborted) return;
    this.#next(() => this.#client.query(HEARTBEAT)).catch((error: unknown) => this.#lose(messageOf(error)));
  }
}

/** A server that does not answer this is away, whatever other statements may take. */
const HEARTBEAT = { text: 'SELECT 1', query_timeout: 10_000 };

async function lock(client: pg.Client, options: LeadOptions, signal: AbortSignal): Promise<void> {
  const { name, onWaiting, onSilent } = options;
  if (options.takeOver === true) return takeOver(client, options, signal);
  const silentFor = options.lease?.length ?? LEASE;
  for (let reported = false; ; reported = true) {
    const { rows } = await client.query<{ locked: boolean }>(
      'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS locked',
      [name],
    );
    if (rows[0]?.locked === true) return;
    if (!reported) onWaiting?.();
    for (const holder of await endHolders(client, name, { silentFor })) onSilent?.(holder);
    await sleep(POLL, signal);
    signal.throwIfAborted();
  }
}

/**
 * The first in PostgreSQL's queue for a lock gets it in the moment its holder ends, and who does not queue never overtakes: a
 * holder that comes back at once waits. So one session queues while another ends the holders.
 */
async function takeOver(client: pg.Client, { url, name }: LeadOptions, signal: AbortSignal): Promise<void> {
  const other = await openSession(url, 'lead', { applicationName: `${name}, taken over` });
  let locked = false;
  const queued = queue(client, name).finally(() => (locked = true));
  queued.catch(() => undefined); // it is awaited below
  try {
    while (!locked) {
      signal.throwIfAborted();
      if (await isQueued(other, client)) await endHolders(other, name, { silentFor: 0 });
      await sleep(TAKE_OVER_POLL, signal);
    }
    await queued;
  } catch (error) {
    // A session that waits for a lock does not notice that its client has left.
    await other.query('SELECT pg_terminate_backend($1)', [processOf(client)]).catch(() => undefined);
    throw error;
  } finally {
    await close(other);
  }
}

/** Waits for the lock, without the session's limit for locks, which is for those of tables. */
async function queue(client: pg.Client, name: string): Promise<void> {
  await client.query('SET lock_timeout = 0');
  await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [name]);
  await client.query('RESET lock_timeout');
}

async function isQueued(other: pg.Client, client: pg.Client): Promise<boolean> {
  const { rows } = await other.query(
    `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = $1`,
    [processOf(client)],
  );
  return rows.length > 0;
}

/** The number of its server process, which the types of pg leave out. */
function processOf(client: pg.Client): number {
  return (client as unknown as { readonly processID: number }).processID;
}

/**
 * Ends the session that holds the lock if its client has been silent for so long, and waits for its end: PostgreSQL waits for a statement, or for the
 * client to read an answer. A bigint key is shown in `pg_locks` as two halves, with objsubid 1.
 */
async function endHolders(
  client: pg.Client,
  name: string,
  { silentFor }: { readonly silentFor: number },
): Promise<{ pid: number }[]> {
  const { rows } = await client.query<{ pid: number }>(
    `WITH silent AS MATERIALIZED (
       SELECT pid FROM pg_locks JOIN pg_stat_activity a USING (pid), (SELECT hashtextextended($1, 0) AS key) k
       WHERE locktype = 'advisory' AND granted AND objsubid = 1
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND classid::bigint = ((k.key >> 32) & 4294967295) AND objid::bigint = (k.key & 4294967295)
         AND ($2::float8 = 0 OR state_change < clock_timestamp() - $2::float8 * interval '1 ms'
           AND (state <> 'active' OR wait_event_type = 'Client')))
     SELECT pid, pg_terminate_backend(pid, ${String(END_PATIENCE)}) FROM silent`,
    [name, silentFor],
  );
  return rows;
}

/** Ends the session, and does not wait long for a server that may be away. */
async function close(client: pg.Client): Promise<void> {
  const answered = new AbortController();
  const goodbye = client.end().finally(() => {
    answered.abort();
  });
  await Promise.race([goodbye, sleep(1_000, answered.signal)]).catch(() => undefined);
}
