import type { ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { ExportFile } from '../events/status.ts';
import type { Task, TaskRange } from '../events/tasks.ts';
import { FileSet } from '../files/file-set.ts';
import type { LogReader } from '../log/log.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { replayRange } from './replay-range.ts';

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
  const { reader, codec, topicOf, signal, onProgress } = context;
  const total = task.ranges.reduce((sum, range) => sum + (range.to - range.from), 0);
  const written: ExportFile[] = [];
  let passed = 0;
  for (const [type, ranges] of Map.groupBy(task.ranges, (range: TaskRange) => range.type)) {
    const files = new FileSet({ ...task, store: context.store, fileBytes: context.fileBytes }, type);
    try {
      for (const { partition, from, to } of ranges) {
        const batches = reader.readBackward({ topic: topicOf(type), partition, from, to }, signal);
        const onBatch = (offsets: number): void => onProgress(Math.min(1, (passed += offsets) / total));
        await replayRange(batches, { codec, filter: task.filter, files, onBatch });
        signal.throwIfAborted();
      }
      written.push(...(await files.finish()));
    } catch (error) {
      await files.abort();
      throw error;
    }
  }
  return written;
}
