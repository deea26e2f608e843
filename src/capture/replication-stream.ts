import pg from 'pg';
import { release } from '../base/buffers.ts';
import { HeadwaterError } from '../base/errors.ts';
import { formatLsn, lsn } from '../base/positions.ts';
import type { Lsn } from '../base/positions.ts';
import { unavailable } from '../database/errors.ts';
import { openSession } from '../database/session.ts';
import { decodeWalMessage } from './pgoutput.ts';
import type { WalMessage } from './pgoutput.ts';

/** The socket is not read while this many received bytes wait to be taken. */
const QUEUE_BYTES = 4 << 20;
/** Well under wal_sender_timeout (60 s by default), after which PostgreSQL hangs up. */
const STATUS_INTERVAL = 5_000;
const EPOCH_2000_MICROSECONDS = 946_684_800_000_000n;

/** An event of the write-ahead log, in its order. */
export type WalEvent =
  | { readonly kind: 'message'; readonly message: WalMessage; readonly bytes: number }
  /** Everything before this position has been sent. */
  | { readonly kind: 'advanced'; readonly position: Lsn };

/** The connection of pg with the raw replication stream, which the types of pg lack. */
interface ReplicationConnection {
  readonly stream: { pause(): void; resume(): void; destroy(): void };
  on(event: 'copyData', listener: (message: { chunk: Buffer }) => void): void;
  once(event: 'replicationStart', listener: () => void): void;
  sendCopyFromChunk(chunk: Buffer): void;
}

/**
 * The stream of a logical replication slot. Role: hands over messages in WAL order, pulled, with back-pressure down to the
 * socket. Invariant: tells PostgreSQL only the position given to `confirm`. A crash or `close` loses nothing: the
 * slot sends again from the confirmed position.
 */
export class ReplicationStream {
  readonly #client: pg.Client;
  readonly #connection: ReplicationConnection;
  #confirmed: Lsn;
  #queue: WalEvent[] = [];
  #queuedBytes = 0;
  /** The buffers behind the queued messages and behind those that were taken last. */
  #queuedData: Buffer[] = [];
  #takenData: Buffer[] = [];
  #paused = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  readonly #timer: NodeJS.Timeout;

  private constructor(client: pg.Client, confirmed: Lsn) {
    this.#client = client;
    this.#connection = (client as unknown as { connection: ReplicationConnection }).connection;
    this.#confirmed = confirmed;
    this.#timer = setInterval(() => this.#sendStatus(), STATUS_INTERVAL);
    this.#connection.on('copyData', ({ chunk }) => this.#receive(chunk));
    client.on('error', (error: Error) => this.#fail(error));
    client.on('end', () => this.#fail(new Error('PostgreSQL closed the replication stream')));
  }

  /** Starts at `from`, or at the slot's own confirmed position when that is later. Throws `unavailable`. */
  static async start(
    url: string,
    options: { slot: string; publication: string; from: Lsn; timeline: number },
  ): Promise<ReplicationStream> {
    const client = await openSession(url, 'stream');
    await requireTimeline(client, options.timeline);
    const stream = new ReplicationStream(client, options.from);
    const started = new Promise<void>((resolve) => stream.#connection.once('replicationStart', resolve));
    const query = client.query(
      `START_REPLICATION SLOT ${pg.escapeIdentifier(options.slot)} LOGICAL ${formatLsn(options.from)} ` +
        `(proto_version '1', publication_names ${pg.escapeLiteral(pg.escapeIdentifier(options.publication))}, messages 'true')`,
    );
    query.catch((error: unknown) => stream.#fail(error as Error)); // it settles only when the stream ends
    try {
      await Promise.race([started, query]);
      if (stream.#failure) throw stream.#failure;
      return stream;
    } catch (error) {
      await stream.close();
      throw new HeadwaterError(
        'unavailable',
        `replication slot ${options.slot} cannot be read: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
  }

  /**
   * Waits for events and takes all there are; their bytes are valid until the next `take`. Throws what ended the stream.
   */
  async take(signal: AbortSignal): Promise<WalEvent[]> {
    for (const data of this.#takenData.splice(0)) release(data);
    while (this.#queue.length === 0) {
      signal.throwIfAborted();
      if (this.#failure) {
        throw new HeadwaterError(
          'unavailable',
          `PostgreSQL ended the replication stream, which begins again: ${this.#failure.message}`,
          {
            cause: this.#failure,
          },
        );
      }
      await this.#changed(signal);
    }
    const events = this.#queue;
    this.#takenData = this.#queuedData;
    this.#queue = [];
    this.#queuedData = [];
    this.#queuedBytes = 0;
    if (this.#paused) {
      this.#paused = false;
      this.#connection.stream.resume();
    }
    return events;
  }

  /** Whether events wait to be taken. */
  get waiting(): boolean {
    return this.#queue.length > 0;
  }

  /** Tells PostgreSQL that Kafka has stored everything before this position, so PostgreSQL may delete it. */
  confirm(position: Lsn): void {
    if (position <= this.#confirmed) return;
    this.#confirmed = position;
    this.#sendStatus();
  }

  /** Asks for the position up to which everything was sent; it comes as an event. */
  askPosition(): void {
    this.#sendStatus(true);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#connection.stream.destroy(); // a replication connection ignores an orderly end
    await this.#client.end().catch(() => undefined);
  }

  /** Resolves when an event has arrived, the stream has ended, or the signal has fired. */
  async #changed(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const wake = (): void => resolve(undefined);
    this.#wake = wake;
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    signal.removeEventListener('abort', wake);
  }

  #receive(chunk: Buffer): void {
    if (this.#failure) return;
    try {
      this.#decode(chunk);
    } catch (error) {
      this.#fail(error as Error);
    }
    this.#signal();
  }

  #decode(chunk: Buffer): void {
    if (chunk[0] === 0x6b /* k: keepalive */) {
      this.#queue.push({ kind: 'advanced', position: lsn(chunk.readBigInt64BE(1)) });
      if (chunk[17] === 1) this.#sendStatus();
      return;
    }
    // w: start, end, time, then the message. pg reuses its buffer, so what is kept is copied.
    const data = Buffer.from(chunk.subarray(25));
    const message = decodeWalMessage(data);
    if (!message) return;
    this.#queuedData.push(data);
    this.#queue.push({ kind: 'message', message, bytes: chunk.length });
    this.#queuedBytes += chunk.length;
    if (this.#queuedBytes > QUEUE_BYTES && !this.#paused) {
      this.#paused = true;
      this.#connection.stream.pause();
    }
  }

  #sendStatus(wantsAnswer = false): void {
    if (this.#failure) return;
    const status = Buffer.alloc(34);
    status[0] = 0x72; // r
    status.writeBigInt64BE(this.#confirmed, 1);
    status.writeBigInt64BE(this.#confirmed, 9);
    status.writeBigInt64BE(this.#confirmed, 17);
    status.writeBigInt64BE(BigInt(Date.now()) * 1000n - EPOCH_2000_MICROSECONDS, 25);
    status[33] = wantsAnswer ? 1 : 0;
    this.#connection.sendCopyFromChunk(status);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    clearInterval(this.#timer);
    this.#signal();
  }

  #signal(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** Checks the server, because the address may lead to another server now. */
async function requireTimeline(client: pg.Client, expected: number): Promise<void> {
  try {
    const { rows } = await client.query<{ timeline: string | number }>('IDENTIFY_SYSTEM');
    if (Number(rows[0]?.timeline) !== expected)
      throw new HeadwaterError('unavailable', 'the source is on another timeline than a moment ago');
  } catch (error) {
    await client.end().catch(() => undefined);
    throw unavailable(error);
  }
}
