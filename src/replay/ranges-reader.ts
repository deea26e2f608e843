import { offset } from '../base/positions.ts';
import { partsOf } from '../events/task-range.ts';
import type { OffsetRange, TaskRange } from '../events/tasks.ts';
import type { RecordBatch } from '../log/log.ts';
import type { Replayed } from './replay-range.ts';
import type { ResourceReading } from './task-run.ts';

/** The most parts whose first block is fetched in advance, and the most offsets in them, since their blocks are in memory. */
const MAX_AHEAD = 8;
const OFFSETS_AHEAD = 8_192;

type Source = Pick<ResourceReading, 'reader' | 'topicOf'>;

interface Part {
  readonly range: TaskRange;
  readonly part: OffsetRange;
}

interface Opened {
  readonly iterator: AsyncIterator<RecordBatch>;
  readonly first: Promise<IteratorResult<RecordBatch>>;
  readonly offsets: number;
}

/**
 * Reads ranges one after the other, each newest first and without its gaps. While one is handled, the first blocks of the next few
 * are fetched already: a small export consists of many small reads, and each costs a round trip.
 */
export class RangesReader {
  readonly #source: Source;
  readonly #signal: AbortSignal;
  readonly #parts: readonly Part[];
  readonly #opened: Opened[] = [];
  #next = 0;

  constructor(source: Source, ranges: readonly TaskRange[], signal: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
    this.#parts = ranges.flatMap((range) => partsOf(range).map((part) => ({ range, part })));
  }

  /** Reads the next range. The caller calls it once for each range, in their order. */
  range(range: TaskRange): Replayed {
    let opened = false;
    const open = (below: number): AsyncIterable<RecordBatch> => {
      if (opened) {
        const again = { ...range, to: offset(Math.min(range.to, below)) };
        return new RangesReader(this.#source, [again], this.#signal).#batches(again);
      }
      opened = true;
      return this.#batches(range);
    };
    return { open, from: range.from };
  }

  async *#batches(range: TaskRange): AsyncIterable<RecordBatch> {
    for (const _ of partsOf(range)) {
      this.#openSome();
      const { iterator, first } = this.#opened.shift() as Opened;
      this.#openSome();
      try {
        for (let step = await first; step.done !== true; step = await iterator.next()) yield step.value;
      } finally {
        await iterator.return?.();
      }
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#opened.splice(0).map(async ({ iterator }) => iterator.return?.()));
  }

  #openSome(): void {
    for (; this.#opened.length <= MAX_AHEAD && this.#next < this.#parts.length; this.#next++) {
      const { range, part } = this.#parts[this.#next] as Part;
      const ahead = this.#opened.reduce((sum, { offsets }) => sum + offsets, 0);
      if (this.#opened.length > 0 && ahead > OFFSETS_AHEAD) return;
      const { reader, topicOf } = this.#source;
      const place = { topic: topicOf(range.type), partition: range.partition, ...part };
      const iterator = reader.readBackward(place, this.#signal)[Symbol.asyncIterator]();
      const first = iterator.next();
      first.catch(() => undefined); // it is awaited in its turn
      this.#opened.push({ iterator, first, offsets: part.to - part.from });
    }
  }
}
