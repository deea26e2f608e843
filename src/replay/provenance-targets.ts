import type { Related, TaskRange } from '../events/tasks.ts';
import { replayRanges, scanReturned } from './replay-ranges.ts';
import type { Sink } from './replay-range.ts';
import type { TaskRun } from './task-run.ts';
import { belongs, Selection } from './selection.ts';
import type { Belongs, Fate, Version } from './selection.ts';

/** Which related resources belong to an export, and which its client already has, by key. */
export interface Chosen {
  readonly now: (key: string) => boolean;
  readonly before: (key: string) => boolean;
}

/** A Provenance that lives, and what it is about. */
interface Source {
  readonly key: string;
  /** As it is written; instants of one zone sort by it. */
  readonly recorded: string;
}

/** Provenance by what they are about: memory grows with the targets whose membership nothing else tells. */
class Sources {
  readonly byTarget = new Map<string, Source[]>();
  /** Those that live, whatever they are about. */
  readonly alive = new Set<string>();
  /** Those in a compartment by themselves, since they are about a patient. */
  readonly inNow = new Set<string>();
  readonly inBefore = new Set<string>();
}

/**
 * Which Provenance belong to an export. R4 has a Provenance in the compartment of the patients it is about; the guide wants
 * those as well that are about anything in a compartment, so the targets' own records are asked. A Provenance that was deleted
 * is always told: what it was about is no longer known.
 */
export async function chooseByTargets(run: TaskRun, { by, ranges }: Related): Promise<Chosen> {
  const sources = await readSources(run, by === 'target-in-scope');
  const now = new Set<string>();
  const before = new Set<string>();
  if (by === 'target-in-scope') {
    for (const key of sources.inNow) now.add(key);
    for (const key of sources.inBefore) before.add(key);
    if (sources.byTarget.size > 0) await addInScope(run, ranges, sources, { now, before });
    return { now: (key) => now.has(key), before: (key) => before.has(key) || !sources.alive.has(key) };
  }
  await scanReturned(run, { ranges, since: run.task.filter.since }, (key) => {
    const about = sources.byTarget.get(key) ?? [];
    const wanted = by === 'latest-of-returned' ? about.toSorted(newestFirst).slice(0, 1) : about;
    for (const source of wanted) now.add(source.key);
  });
  return { now: (key) => now.has(key), before: (key) => !sources.alive.has(key) };
}

function newestFirst(a: Source, b: Source): number {
  const [x, y] = [`${a.recorded} ${a.key}`, `${b.recorded} ${b.key}`];
  return x < y ? 1 : x > y ? -1 : 0;
}

/** @param settle whether a Provenance that is in a compartment by itself need not be asked about */
async function readSources(run: TaskRun, settle: boolean): Promise<Sources> {
  const { task, codec, cohort } = run;
  const sources = new Sources();
  const inNow = belongs('Provenance', cohort, cohort?.members, cohort?.groups);
  const inBefore = belongs('Provenance', cohort, cohort?.before, cohort?.groupsBefore);
  const sink: Sink = {
    returned: (change, key) => {
      sources.alive.add(key);
      const { patients } = codec.decode(change.bytes);
      if (inNow('', patients)) sources.inNow.add(key);
      if (inBefore('', patients)) sources.inBefore.add(key);
      if (settle && inNow('', patients)) return;
      const body = JSON.parse(change.bytes.toString('utf8', change.bodyStart, change.bodyEnd)) as Provenance;
      const source = { key, recorded: String(body.recorded) };
      for (const target of targetsOf(body)) {
        const list = sources.byTarget.get(target);
        if (list) list.push(source);
        else sources.byTarget.set(target, [source]);
      }
    },
    reported: () => undefined,
    drain: () => Promise.resolve(),
  };
  const everything = { since: undefined, until: task.filter.until };
  const selection = Selection.ofCohort(everything, undefined, 'Provenance');
  await replayRanges(run, task.ranges, () => ({ selection, sink, byPatients: true }));
  return sources;
}

interface Provenance {
  readonly recorded?: unknown;
  readonly target?: unknown;
}

const TARGET = /^([A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64})(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;

function targetsOf({ target }: Provenance): string[] {
  if (!Array.isArray(target)) return [];
  return target.flatMap((one: unknown) => {
    const reference =
      typeof one === 'object' && one !== null && 'reference' in one ? one.reference : undefined;
    const match = typeof reference === 'string' ? TARGET.exec(reference) : null;
    return match?.[1] === undefined ? [] : [match[1]];
  });
}

/** Asks the targets' own records in whose compartments they are, and were as of `since`. */
async function addInScope(
  run: TaskRun,
  ranges: readonly TaskRange[],
  sources: Sources,
  chosen: { readonly now: Set<string>; readonly before: Set<string> },
): Promise<void> {
  const { cohort, task } = run;
  const targets = ranges.filter(({ type }) => type !== 'Provenance');
  await replayRanges(run, targets, ({ type }) => {
    const selection = new Witness(task.filter.since, {
      now: belongs(type, cohort, cohort?.members, cohort?.groups),
      before: belongs(type, cohort, cohort?.before, cohort?.groupsBefore),
      is: (when, id) => {
        for (const { key } of sources.byTarget.get(`${type}/${id}`) ?? []) chosen[when].add(key);
      },
      asked: (id) => sources.byTarget.has(`${type}/${id}`),
    });
    return { selection, sink: IGNORED, byPatients: true };
  });
}

const IGNORED: Sink = {
  returned: () => undefined,
  reported: () => undefined,
  drain: () => Promise.resolve(),
};

interface Questions {
  readonly now: Belongs;
  readonly before: Belongs;
  readonly asked: (id: string) => boolean;
  /** The answer. */
  readonly is: (when: 'now' | 'before', id: string) => void;
}

/** Selects nothing, but sees whether resources are in now and were in before. */
class Witness implements Pick<Selection, 'timed' | 'newest' | 'older'> {
  readonly timed: boolean;
  readonly #since: number | undefined;
  readonly #ask: Questions;

  constructor(since: number | undefined, ask: Questions) {
    this.timed = since !== undefined;
    this.#since = since;
    this.#ask = ask;
  }

  newest(id: string, version: Version): Fate {
    if (!this.#ask.asked(id)) return 'nothing';
    if (version.operation !== 'delete' && this.#ask.now(id, version.patients)) this.#ask.is('now', id);
    return this.older(id, version);
  }

  older(id: string, version: Version): Fate {
    if (this.#since === undefined) return 'nothing';
    const { changedAt, operation, patients, leftPatients } = version;
    const later = changedAt > this.#since;
    const lived = later || operation !== 'delete';
    if ((lived && this.#ask.before(id, patients)) || (later && this.#ask.before(id, leftPatients))) {
      this.#ask.is('before', id);
      return 'nothing';
    }
    return later ? 'watch' : 'nothing';
  }
}
