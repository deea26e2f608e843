import type { KafkaMessage } from 'kafkajs';
import { backoff, sleep } from '../../../base/clock.ts';
import { HeadwaterError, isCertain, messageOf, remedyFor } from '../../../base/errors.ts';
import { offset } from '../../../base/positions.ts';
import type { Offset } from '../../../base/positions.ts';
import type { Logger } from '../../../base/service.ts';
import type { Handle, Outcome, Partition, QueuedRecord, QueueOptions } from '../../log.ts';
import type { ExclusiveCommitter } from './exclusive-committer.ts';
import type { Slots } from './slots.ts';

/** A lane that has buffered more is not fetched for until half of its buffer is handled. */
const BUFFER_BYTES = 1 << 20;
/** Pause in ms after a fencing. An excluded member learns of it in less time, so that two members do not fence each other again and again. */
const FENCED_WAIT = 3_000;
/** Number of attempts of a handler that fails without a code, because the cause may pass. */
const ATTEMPTS = 4;
const FIRST_WAIT = 250;

export interface LaneOptions {
  readonly partition: Partition;
  readonly open: () => Promise<ExclusiveCommitter>;
  readonly slots: Slots;
  readonly handle: Handle;
  readonly giveUp: QueueOptions['giveUp'];
  readonly logger: Logger;
  /** The buffer has room again. */
  readonly onRoom: () => void;
  /** Work waits for a server. */
  readonly onTrouble: (error: unknown) => void;
  /** It goes on. */
  readonly onRelief: () => void;
}

/**
 * Handles the records of one partition, one after the other, for as long as this member has it. Fetching goes on meanwhile,
 * so a handler may take as long as it likes without the group waiting for it. `remedyFor` says what an error leads to: the
 * same again however long it takes, `giveUp` in place of the handler, or the end of the queue.
 */
export class QueueLane {
  readonly #options: LaneOptions;
  readonly #abort = new AbortController();
  #committer: ExclusiveCommitter | undefined;
  #opened = false;
  readonly #buffer: QueuedRecord[] = [];
  #bufferedBytes = 0;
  #crowded = false;
  /** Offset of the next record to take into the buffer. */
  #next: Offset | undefined;
  #wake: () => void = () => undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  get partition(): Partition {
    return this.#options.partition;
  }

  /** The offset at which fetching continues; undefined before `open`, and when nothing was ever committed or taken. */
  get next(): Offset | undefined {
    return this.#next;
  }

  /** Returns true if it wants more records: it knows its offset and has room. */
  get hungry(): boolean {
    return this.#opened && !this.#crowded;
  }

  /** Becomes the only holder that may commit, however long that takes. */
  async open(): Promise<void> {
    const { signal } = this.#abort;
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#holder();
        this.#opened = true;
        if (attempt > 0) this.#options.onRelief();
        return;
      } catch (error) {
        await this.#wait(error, attempt, signal);
      }
    }
  }

  /** Takes fetched records; those it has taken before are left out (a member that rejoins fetches some again). */
  offer(messages: readonly KafkaMessage[]): void {
    for (const { offset: at, key, value } of messages) {
      const record = {
        ...this.#options.partition,
        offset: offset(Number(at)),
        key: key?.toString() ?? '',
        value: value ?? Buffer.alloc(0),
      };
      if (this.#next !== undefined && record.offset < this.#next) continue;
      this.#next = offset(record.offset + 1);
      this.#buffer.push(record);
      this.#bufferedBytes += record.value.length;
    }
    if (this.#bufferedBytes > BUFFER_BYTES) this.#crowded = true;
    this.#wake();
  }

  /** Handles records until `close`. Rejects with an error that an operator has to mend. */
  async run(): Promise<void> {
    const { signal } = this.#abort;
    try {
      for (;;) {
        await this.#finish(await this.#peek(signal), signal);
        this.#shift();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await this.#committer?.close();
    }
  }

  /** Fires the signal of the handler. `run` resolves when the handler has ended. A running commit is finished. */
  close(): void {
    this.#abort.abort();
    this.#wake();
  }

  /** Handles and commits one record. While it waits for another try, its slot is free for others. */
  async #finish(record: QueuedRecord, signal: AbortSignal): Promise<void> {
    let outcome: Outcome | undefined; // kept when only its commit has to be repeated
    let failures = 0;
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#inSlot(signal, async () => {
          const committer = await this.#holder();
          if (committer.position !== undefined && record.offset < committer.position) return; // handled by another holder
          outcome ??= await this.#options.handle(record, signal);
          signal.throwIfAborted();
          await this.#commit(committer, outcome, offset(record.offset + 1));
        });
        if (attempt > 0) this.#options.onRelief();
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (remedyFor(error) === 'fail' && (isCertain(error) || ++failures >= ATTEMPTS)) {
          outcome = this.#replacement(record, error, outcome);
          failures = ATTEMPTS;
        } else {
          await this.#wait(error, attempt, signal);
        }
      }
    }
  }

  /** Returns the events to commit in place of an outcome that is impossible, or that Kafka never takes. */
  #replacement(record: QueuedRecord, error: unknown, refused: Outcome | undefined): Outcome {
    const { giveUp, logger, partition } = this.#options;
    if (!giveUp || refused?.length === 0) throw error;
    const at = { topic: partition.topic, partition: partition.partition, offset: record.offset };
    logger.error({ ...at, err: error }, `a record cannot be handled: ${messageOf(error)}`);
    try {
      const outcome = giveUp(record, error);
      return refused !== undefined && sameKeys(refused, outcome) ? [] : outcome;
    } catch (failure) {
      logger.error({ ...at, err: failure }, `a record is left out: ${messageOf(failure)}`);
      return [];
    }
  }

  async #inSlot(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    await this.#options.slots.acquire(signal);
    try {
      await work();
    } finally {
      this.#options.slots.release();
    }
  }

  /** After an error it is unknown which records were committed. The next `open` reads the committed offset. */
  async #commit(committer: ExclusiveCommitter, outcome: Outcome, next: Offset): Promise<void> {
    try {
      await committer.commit(outcome, next);
    } catch (error) {
      this.#committer = undefined;
      void committer.close();
      throw error;
    }
  }

  async #holder(): Promise<ExclusiveCommitter> {
    if (this.#committer) return this.#committer;
    const committer = await this.#options.open();
    this.#committer = committer;
    this.#next ??= committer.position;
    return committer;
  }

  /** Waits before the next attempt. Throws an error that an operator has to mend. */
  async #wait(error: unknown, attempt: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const remedy = remedyFor(error);
    if (remedy === 'stop') throw error;
    if (error instanceof HeadwaterError && error.code === 'fenced') {
      await sleep(FENCED_WAIT, signal);
      return;
    }
    const { topic, partition } = this.#options.partition;
    this.#options.logger.warn({ topic, partition, attempt }, `work is tried again: ${messageOf(error)}`);
    if (remedy === 'retry') this.#options.onTrouble(error);
    await sleep(backoff(attempt, Math.random, FIRST_WAIT), signal);
  }

  async #peek(signal: AbortSignal): Promise<QueuedRecord> {
    for (;;) {
      signal.throwIfAborted();
      const [first] = this.#buffer;
      if (first) return first;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #shift(): void {
    this.#bufferedBytes -= this.#buffer.shift()?.value.length ?? 0;
    if (!this.#crowded || this.#bufferedBytes > BUFFER_BYTES / 2) return;
    this.#crowded = false;
    this.#options.onRoom();
  }
}

/** Returns true if two outcomes have the same records. Kafka would refuse such a replacement again. */
function sameKeys(a: Outcome, b: Outcome): boolean {
  return (
    a.length === b.length && a.every(({ key, value }, i) => key === b[i]?.key && value.equals(b[i].value))
  );
}
