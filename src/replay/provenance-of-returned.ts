import type { Related } from '../events/tasks.ts';
import type { Chosen } from './chosen.ts';
import { readProvenance } from './provenance.ts';
import { IGNORING, replayRanges, scanSelected } from './replay-ranges.ts';
import type { Sink } from './replay-range.ts';
import { AsOf, belongsBefore, Selection } from './selection.ts';
import type { Selector } from './selection.ts';
import type { TaskRun } from './task-run.ts';

/** A living Provenance. */
interface Source {
  readonly key: string;
  /** ms since 1970. */
  readonly recorded: number;
}

/** Provenance as of a time. */
interface Found {
  /** Provenance by target. */
  readonly byTarget: ReadonlyMap<string, readonly Source[]>;
  readonly keys: ReadonlySet<string>;
}

/**
 * The Provenance of what the export returns: all of them, or of each resource the one recorded last. Of what it returns without
 * `since`, and of what it returned as of then: so a Provenance that is about a resource which came in or went out comes and goes with
 * it. Memory: the targets of all Provenance.
 */
export async function chooseByReturned(run: TaskRun, related: Related): Promise<Chosen> {
  const { population } = run;
  const { since } = run.task.filter;
  const always = { since: undefined, until: undefined };
  const found = await readAll(run, Selection.of(always, { ...population, cohort: undefined }, 'Provenance'));
  const now = await choose(run, related, found, (type) => Selection.of(always, population, type));
  if (since === undefined) return { now: (key) => now.has(key), before: () => false, maybe: () => false };
  const then = await readAll(
    run,
    new AsOf(since, belongsBefore('Provenance', { ...population, cohort: undefined })),
  );
  const had = await choose(run, related, then, (type) => new AsOf(since, belongsBefore(type, population)));
  return {
    now: (key) => now.has(key),
    before: (key) => had.has(key),
    // The log may no longer have the earlier version of a deleted one.
    maybe: (key) => had.has(key) || now.has(key) || !(found.keys.has(key) || then.keys.has(key)),
  };
}

async function readAll(run: TaskRun, selection: Selector): Promise<Found> {
  const byTarget = new Map<string, Source[]>();
  const keys = new Set<string>();
  const sink: Sink = {
    ...IGNORING,
    returned: (change, key) => {
      keys.add(key);
      const { targets, recorded } = readProvenance(change, run.references);
      for (const target of targets) push(byTarget, target, { key, recorded });
      return undefined;
    },
  };
  await replayRanges(run, run.task.ranges, () => ({ selection, sink, byPatients: true }));
  return { byTarget, keys };
}

async function choose(
  run: TaskRun,
  { by, ranges }: Related,
  { byTarget }: Found,
  selectionOf: (type: string) => Selector,
): Promise<ReadonlySet<string>> {
  const chosen = new Set<string>();
  await scanSelected(run, { ranges, selectionOf }, (key) => {
    const about = byTarget.get(key) ?? [];
    const wanted = by === 'latest-of-returned' ? about.toSorted(newestFirst).slice(0, 1) : about;
    for (const source of wanted) chosen.add(source.key);
  });
  return chosen;
}

function newestFirst(a: Source, b: Source): number {
  return b.recorded - a.recorded || (a.key < b.key ? 1 : -1);
}

function push<T>(lists: Map<string, T[]>, key: string, one: T): void {
  const list = lists.get(key);
  if (list) list.push(one);
  else lists.set(key, [one]);
}
