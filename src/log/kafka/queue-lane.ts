import type { KafkaMessage } from 'kafkajs';
import { sleep } from '../../base/clock.ts';
import { HeadwaterError } from '../../base/errors.ts';
import { offset } from '../../base/positions.ts';
import type { Offset } from '../../base/positions.ts';
import type { Outcome, Partition, QueuedRecord } from '../log.ts';
import type { ExclusiveCommitter } from './exclusive-committer.ts';
import type { Slots } from './slots.ts';

/** A lane with more than this buffered is not fetched for until half of it is handled. */
const BUFFER_BYTES = 1 << 20;
/** Longer than a member that was put out of the group needs to hear of it, so that two do not fence each other in turn. */
const FENCED_WAIT = 3_000;

export interface LaneOptions {
  readonly partition: Partition;
  readonly open: () => Promise<ExclusiveCommitter>;
  readonly slots: Slots;
  readonly handle: (record: QueuedRecord, signal: AbortSignal) => Promise<Outcome>;
  /** The buffer has room again. */
  readonly onRoom: () => void;
}

/**
 * Handles the records of one partition, one after the other, for as long as this member has it. Fetching goes on meanwhile,
 * so a handler may take as long as it likes without the group waiting for it.
 */
export class QueueLane {
  readonly #options: LaneOptions;
  readonly #abort = new AbortController();
  #committer: ExclusiveCommitter | undefined;
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

  /** Where fetching is to go on; undefined before `open`, and when nothing was ever committed or taken. */
  get next(): Offset | undefined {
    return this.#next;
  }

  /** Whether to stop fetching until `onRoom` is called. */
  get crowded(): boolean {
    return this.#crowded;
  }

  /** Becomes the one that may commit. */
  async open(): Promise<void> {
    this.#committer = await this.#options.open();
    this.#next = this.#committer.position;
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

  /** Handles until `close`. Rejects with what a handler or Kafka threw. */
  async run(): Promise<void> {
    const { signal } = this.#abort;
    try {
      for (;;) {
        const record = await this.#peek(signal);
        await this.#options.slots.acquire(signal);
        try {
          await this.#process(record, signal);
        } finally {
          this.#options.slots.release();
        }
        this.#shift();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await this.#committer?.close();
    }
  }

  /** The handler's signal fires; `run` resolves when it has come to its end. A commit under way is finished. */
  close(): void {
    this.#abort.abort();
    this.#wake();
  }

  async #process(record: QueuedRecord, signal: AbortSignal): Promise<void> {
    for (;;) {
      const committer = this.#committer;
      if (!committer) throw new HeadwaterError('internal', 'a lane runs that was not opened');
      if (committer.position !== undefined && record.offset < committer.position) return; // handled by another holder
      const outcome = await this.#options.handle(record, signal);
      signal.throwIfAborted();
      try {
        await committer.commit(outcome, offset(record.offset + 1));
        return;
      } catch (error) {
        if (!(error instanceof HeadwaterError) || error.code !== 'fenced') throw error;
        await sleep(FENCED_WAIT, signal);
        await committer.close();
        this.#committer = await this.#options.open();
      }
    }
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
