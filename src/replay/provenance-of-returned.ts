import type { Related } from '../events/tasks.ts';
import type { Chosen } from './chosen.ts';
import { readProvenance } from './provenance.ts';
import { IGNORING, replayRanges, scanSelected } from './replay-ranges.ts';
import { Selection } from './selection.ts';
import type { TaskRun } from './task-run.ts';

/** A Provenance that lives. */
interface Source {
  readonly key: string;
  /** ms since 1970. */
  readonly recorded: number;
}

/**
 * The Provenance of what the export returns: all of them, or of each resource the one recorded last. A Provenance that was
 * deleted is always told: what it was about is no longer known. Memory: the targets of all Provenance.
 */
export async function chooseByReturned(run: TaskRun, { by, ranges }: Related): Promise<Chosen> {
  const byTarget = new Map<string, Source[]>();
  const alive = new Set<string>();
  const everything = { since: undefined, until: run.task.filter.until };
  await replayRanges(run, run.task.ranges, () => ({
    selection: Selection.ofCohort(everything, undefined, 'Provenance'),
    sink: {
      ...IGNORING,
      returned: (change, key) => {
        alive.add(key);
        const { targets, recorded } = readProvenance(change, run.references);
        for (const target of targets) push(byTarget, target, { key, recorded });
      },
    },
    byPatients: true,
  }));
  const now = new Set<string>();
  await scanSelected(run, { ranges, selectionOf: run.selectionOf }, (key) => {
    const about = byTarget.get(key) ?? [];
    const wanted = by === 'latest-of-returned' ? about.toSorted(newestFirst).slice(0, 1) : about;
    for (const source of wanted) now.add(source.key);
  });
  return { now: (key) => now.has(key), before: () => false, perhaps: (key) => !alive.has(key) };
}

function newestFirst(a: Source, b: Source): number {
  return b.recorded - a.recorded || (a.key < b.key ? 1 : -1);
}

function push<T>(lists: Map<string, T[]>, key: string, one: T): void {
  const list = lists.get(key);
  if (list) list.push(one);
  else lists.set(key, [one]);
}
