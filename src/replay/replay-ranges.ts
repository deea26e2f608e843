import type { TaskRange } from '../events/tasks.ts';
import { RangesReader } from './ranges-reader.ts';
import { replayRange } from './replay-range.ts';
import type { ReplayOptions, Sink } from './replay-range.ts';
import { isByPatients } from './task-run.ts';
import type { TaskRun } from './task-run.ts';
import type { Selector } from './selection.ts';
import { shaped } from './file-sink.ts';
import { shapesOf } from './shape.ts';
import type { Lines } from './shape.ts';

/** Replays ranges one after the other, each with its own options. */
export async function replayRanges(
  run: TaskRun,
  ranges: readonly TaskRange[],
  optionsOf: (range: TaskRange) => Pick<ReplayOptions, 'selection' | 'byPatients' | 'sink'>,
): Promise<void> {
  const { log, onBatch, signal } = run;
  const reading = new RangesReader(log, ranges, signal);
  try {
    for (const range of ranges) {
      await replayRange(reading.range(range), { codec: log.codec, onBatch, ...optionsOf(range) });
      signal.throwIfAborted();
    }
  } finally {
    await reading.close();
  }
}

/** Calls `onSelected` with the key and JSON of each resource that the selection and the filters pick from the ranges. */
export async function scanSelected(
  run: TaskRun,
  { ranges, selectionOf }: { ranges: readonly TaskRange[]; selectionOf: (type: string) => Selector },
  onSelected: (key: string, body: () => string) => void,
): Promise<void> {
  const { typeFilters } = run.task.filter;
  const shapeOf = shapesOf(
    { typeFilters, elements: [] }, // whole resources, also with _elements
    run.log.codec,
    run.references,
    run.population.rights,
  );
  await replayRanges(run, ranges, ({ type }) => {
    const shape = shapeOf(type);
    const sink: Sink = {
      ...IGNORING,
      returned: (change, key) => {
        const lines: Lines = {
          line: (data, start, end) => onSelected(key, () => data.toString('utf8', start, end)),
        };
        return shaped(shape, lines, change);
      },
    };
    return { selection: selectionOf(type), sink, byPatients: isByPatients(run.population, type) };
  });
}

export const IGNORING: Sink = {
  returned: () => undefined,
  returns: () => true,
  reported: () => undefined,
  drain: () => Promise.resolve(),
};
