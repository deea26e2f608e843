import type { TaskRange } from '../events/tasks.ts';
import { RangesReader } from './read-ranges.ts';
import { replayRange } from './replay-range.ts';
import type { ReplayOptions, Sink } from './replay-range.ts';
import type { TaskRun } from './task-run.ts';
import { Selection } from './selection.ts';
import { shapeOf } from './shape.ts';

/** Replays ranges one after the other, each with options of its own. */
export async function replayRanges(
  run: TaskRun,
  ranges: readonly TaskRange[],
  optionsOf: (range: TaskRange) => Pick<ReplayOptions, 'selection' | 'byPatients' | 'sink'>,
): Promise<void> {
  const { codec, onBatch, signal } = run;
  const reading = new RangesReader(run, ranges, signal);
  try {
    for (const range of ranges) {
      await replayRange(reading.next(range), { codec, onBatch, ...optionsOf(range) });
      signal.throwIfAborted();
    }
  } finally {
    await reading.close();
  }
}

/** Tells of each resource that the export returns from these ranges, its key and its JSON. */
export async function scanReturned(
  run: TaskRun,
  { ranges, since }: { readonly ranges: readonly TaskRange[]; readonly since: number | undefined },
  onReturned: (key: string, body: () => string) => void,
): Promise<void> {
  const { cohort } = run;
  const { typeFilters, until } = run.task.filter;
  await replayRanges(run, ranges, ({ type }) => {
    const shape = shapeOf({ typeFilters, elements: [] }, type, run.codec); // whole, whatever elements are returned
    const sink: Sink = {
      returned: (change, key) =>
        shape(
          { line: (data, start, end) => onReturned(key, () => data.toString('utf8', start, end)) },
          change,
        ),
      reported: () => undefined,
      drain: () => Promise.resolve(),
    };
    const selection = Selection.ofCohort({ since, until }, cohort, type);
    return { selection, sink, byPatients: cohort !== undefined };
  });
}
