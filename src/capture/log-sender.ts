import { HeadwaterError } from '../base/errors.ts';
import type { HealthReporter } from '../base/service.ts';
import type { CaptureLog } from './resource-log.ts';

/**
 * The added records are sent when they have this many raw bytes. With less, the batches of a load of twenty types in four partitions
 * would be small, and small ones cost more to compress and to read.
 */
const FLUSH_BYTES = 16 << 20;
/** After this many raw bytes, a large source transaction or a load continues in another Kafka transaction. */
const TRANSACTION_BYTES = 96 << 20;
/** Part of Kafka's transaction timeout after which a transaction is committed. The rest is for the commit and its retries. */
const MAX_OPEN_SHARE = 1 / 4;
/** A flush or commit that takes longer is reported. In ms. */
const SLOW = 5_000;

/**
 * Role: sends what is added to the log, one flush or commit at a time, while adding goes on.
 * Invariant: no Kafka transaction stays open for longer than a fraction of its timeout, even while capture waits. The broker would
 * abort an older one and refuse the producer.
 * A crash: Kafka aborts the open transaction. Capture repeats a part that was committed.
 */
export class LogSender {
  readonly #log: CaptureLog;
  readonly #commitPart: () => Promise<void>;
  readonly #health: HealthReporter;
  readonly #broken = new AbortController();
  #sending: Promise<void> = Promise.resolve();
  #underWay = 0;
  /** Bytes sent in the open Kafka transaction. */
  #bytes = 0;

  /**
   * @param health called when the log has stored something, and when that takes long
   * @param commitPart commits in the middle of a source transaction or a load
   */
  constructor(log: CaptureLog, health: HealthReporter, commitPart: () => Promise<void> = () => log.commit()) {
    this.#log = log;
    this.#health = health;
    this.#commitPart = commitPart;
  }

  /** Fires with the error of a failed flush or commit. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  /** Whether a flush or commit is under way. */
  get busy(): boolean {
    return this.#underWay > 0;
  }

  /** Call it between two records: it sends the added records if they are many, and commits a large or old transaction. */
  async sendWhenDue(): Promise<void> {
    const { pendingBytes } = this.#log;
    const old = this.#isOld();
    if (pendingBytes < FLUSH_BYTES && !old) return;
    this.#bytes += pendingBytes;
    if (old || this.#bytes >= TRANSACTION_BYTES) return this.commit(this.#commitPart);
    return this.#next(() => this.#log.flush());
  }

  /** Waits for a promise, and commits if the transaction becomes old meanwhile. The caller adds nothing until it resolves. */
  async during<T>(wait: Promise<T>): Promise<T> {
    const commitWhenOld = (): void => {
      if (this.#underWay === 0 && this.#isOld()) this.commit(this.#commitPart).catch(() => undefined);
    };
    const timer = setInterval(commitWhenOld, this.#maxOpenMs / 4);
    try {
      return await wait;
    } finally {
      clearInterval(timer);
    }
  }

  /** Yields the items of a source, and waits for each as `during` does. */
  async *each<T>(source: AsyncIterable<T>): AsyncIterable<T> {
    const iterator = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.during(iterator.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  }

  /** Waits for the flush or commit under way, then starts this commit and does not wait for it. */
  commit(work: () => Promise<void>): Promise<void> {
    return this.#next(() => {
      this.#bytes = 0;
      return work();
    });
  }

  /** Resolves when all added records are stored. */
  async flush(): Promise<void> {
    await this.#next(() => this.#log.flush());
    await this.idle();
  }

  /** Resolves when no flush or commit is under way; rejects with the error of one that failed. */
  idle(): Promise<void> {
    return this.#sending;
  }

  async #next(work: () => Promise<void>): Promise<void> {
    const before = this.#sending;
    this.#underWay++;
    this.#sending = before.then(() => this.#reported(work)).finally(() => this.#underWay--);
    this.#sending.catch((error: unknown) => this.#broken.abort(error));
    await before;
  }

  async #reported(work: () => Promise<void>): Promise<void> {
    const slow = new HeadwaterError(
      'unavailable',
      `Kafka has not stored within ${String(SLOW / 1_000)} s what capture sent`,
    );
    const timer = setTimeout(() => this.#health.waiting?.(slow), SLOW);
    try {
      await work();
      this.#health.ready();
    } finally {
      clearTimeout(timer);
    }
  }

  #isOld(): boolean {
    return this.#log.openMs > this.#maxOpenMs;
  }

  get #maxOpenMs(): number {
    return this.#log.transactionTimeoutMs * MAX_OPEN_SHARE;
  }
}
