import type { ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { ExportFile } from '../events/status.ts';
import type { Task, TaskRange } from '../events/tasks.ts';
import { FileSet } from '../files/file-set.ts';
import type { LogReader, RecordBatch } from '../log/log.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { replayRange } from './replay-range.ts';

/** Types whose files are being ended while the next one is replayed. */
const MOST_ENDING = 8;
/** Ranges whose first block is fetched in advance, at most, and how many offsets they may hold together: their blocks are in memory. */
const MOST_AHEAD = 8;
const OFFSETS_AHEAD = 8_192;

export interface TaskContext {
  readonly reader: LogReader;
  readonly store: ObjectStore;
  readonly codec: ResourceChangeCodec;
  readonly topicOf: (type: string) => string;
  /** Raw bytes of a file. */
  readonly fileBytes: number;
  readonly signal: AbortSignal;
  /** 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

/**
 * A task, from the log to its files. A pure function of the task and an immutable part of the log: whoever runs it again
 * writes the same bytes under the same names. What it throws leaves no file half-written.
 */
export async function runTask(task: Task, context: TaskContext): Promise<ExportFile[]> {
  const { store, codec, signal, onProgress, fileBytes } = context;
  const total = task.ranges.reduce((sum, range) => sum + (range.to - range.from), 0);
  let passed = 0;
  const onBatch = (offsets: number): void => onProgress(Math.min(1, (passed += offsets) / total));
  const batches = readAhead(task.ranges, context);
  const sets: FileSet[] = [];
  const ending: Promise<ExportFile[]>[] = [];
  try {
    for (const [type, ranges] of Map.groupBy(task.ranges, (range: TaskRange) => range.type)) {
      const files = new FileSet({ ...task, store, fileBytes }, type);
      sets.push(files);
      for (const _ of ranges) {
        await replayRange(batches.next(), { codec, filter: task.filter, files, onBatch });
        signal.throwIfAborted();
      }
      const ended = files.finish();
      ended.catch(() => undefined); // it is awaited below
      ending.push(ended);
      await ending.at(-1 - MOST_ENDING);
    }
    return (await Promise.all(ending)).flat();
  } catch (error) {
    await batches.close();
    await Promise.allSettled(ending);
    await Promise.all(sets.map((files) => files.abort()));
    throw error;
  }
}

/**
 * The batches of each range in turn. While one range is replayed, the first blocks of some that follow are fetched already:
 * an export of little is mostly many small ranges, and each costs a round trip.
 */
function readAhead(ranges: readonly TaskRange[], { reader, topicOf, signal }: TaskContext) {
  const opened: OpenedRange[] = [];
  let next = 0;
  const open = (): void => {
    for (; opened.length <= MOST_AHEAD && next < ranges.length; next++) {
      const range = ranges[next] as TaskRange;
      const ahead = opened.reduce((sum, { offsets }) => sum + offsets, 0);
      if (opened.length > 0 && ahead > OFFSETS_AHEAD) return;
      const { partition, from, to } = range;
      const batches = reader.readBackward({ topic: topicOf(range.type), partition, from, to }, signal);
      const iterator = batches[Symbol.asyncIterator]();
      const first = iterator.next();
      first.catch(() => undefined); // it is awaited in its turn
      opened.push({ iterator, first, offsets: to - from });
    }
  };
  return {
    next: (): AsyncIterable<RecordBatch> => {
      open();
      const taken = opened.shift() as OpenedRange;
      open();
      return resumed(taken);
    },
    close: async (): Promise<void> => {
      await Promise.allSettled(opened.map(async ({ iterator }) => iterator.return?.()));
    },
  };
}

interface OpenedRange {
  readonly iterator: AsyncIterator<RecordBatch>;
  readonly first: Promise<IteratorResult<RecordBatch>>;
  readonly offsets: number;
}

async function* resumed({ iterator, first }: OpenedRange): AsyncIterable<RecordBatch> {
  try {
    for (let step = await first; step.done !== true; step = await iterator.next()) yield step.value;
  } finally {
    await iterator.return?.();
  }
}
