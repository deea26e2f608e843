import type { TaskRange } from '../events/tasks.ts';
import type { Chosen } from './chosen.ts';
import { readProvenance } from './provenance.ts';
import { IGNORING, replayRanges } from './replay-ranges.ts';
import type { Sink } from './replay-range.ts';
import type { TaskRun } from './task-run.ts';
import { belongsBefore, belongsNow, maybeBefore } from './selection.ts';
import type { Belongs } from '../cohort/rights.ts';
import type { Fate, Selector, Version } from './selection.ts';

type When = 'now' | 'before';

/** The Provenance that are decided, by key, and the targets that decide the others. */
class Found {
  readonly now = new Set<string>();
  readonly before = new Set<string>();
  readonly maybe = new Set<string>();
  /** Deleted; as they were as of `since`, the log does not hold them. */
  readonly lost = new Set<string>();
  readonly #about: Readonly<Record<When, Map<string, string[]>>> = { now: new Map(), before: new Map() };

  ask(when: When, key: string, targets: readonly string[]): void {
    for (const target of targets) {
      const keys = this.#about[when].get(target);
      if (keys) keys.push(key);
      else this.#about[when].set(target, [key]);
    }
  }

  about(when: When, target: string): readonly string[] {
    return this.#about[when].get(target) ?? [];
  }

  asks(target: string): boolean {
    return this.#about.now.has(target) || this.#about.before.has(target);
  }

  get asksNothing(): boolean {
    return this.#about.now.size === 0 && this.#about.before.size === 0;
  }
}

/**
 * Chooses the Provenance that are about something in scope. R4 has a Provenance in the compartment of the patients it is about, and one
 * that names some is theirs alone. The guide wants those as well that are about anything else in a compartment, so for one that
 * names no patient the targets' own records are asked: where they are, and where they were as of `since`. Memory grows with
 * the targets that have to be asked.
 * @param targets where they lie
 */
export async function chooseInScope(run: TaskRun, targets: readonly TaskRange[]): Promise<Chosen> {
  const found = new Found();
  const reading = new ProvenanceReading(run, found);
  await replayRanges(run, run.task.ranges, () => ({
    selection: reading,
    sink: reading.sink,
    byPatients: true,
  }));
  if (!found.asksNothing)
    await replayRanges(run, targets, ({ type }) => ({
      selection: new TargetReading(run, type, found),
      sink: IGNORING,
      byPatients: true,
    }));
  return {
    now: (key) => found.now.has(key),
    before: (key) => found.before.has(key),
    maybe: (key) => found.before.has(key) || found.maybe.has(key) || found.lost.has(key),
  };
}

/**
 * Reads of each Provenance the newest version and, if it changed since, the version as of then. A deleted one is reported to
 * everybody when the log no longer has what it was about.
 */
class ProvenanceReading implements Selector {
  readonly timed: boolean;
  readonly sink: Sink;
  readonly #since: number | undefined;
  readonly #until: number | undefined;
  readonly #now: Belongs;
  readonly #before: Belongs;
  readonly #maybe: Belongs;
  readonly #found: Found;
  /** The targets of the body that the sink gets next. */
  #telling: readonly When[] = [];

  constructor({ task: { filter }, population, references }: TaskRun, found: Found) {
    this.timed = filter.since !== undefined || filter.until !== undefined;
    this.#since = filter.since;
    this.#until = filter.until;
    this.#now = belongsNow('Provenance', population);
    this.#before = belongsBefore('Provenance', population);
    this.#maybe = maybeBefore('Provenance', population);
    this.#found = found;
    this.sink = {
      ...IGNORING,
      returned: (change, key) => {
        const { targets } = readProvenance(change, references);
        for (const when of this.#telling) found.ask(when, key, targets);
        return undefined;
      },
    };
  }

  newest(id: string, version: Version): Fate {
    const { operation, changedAt, patients } = version;
    // With `since` an older version may be gone: a later export returns this one, but does not report that one.
    if (this.#since === undefined && this.#until !== undefined && changedAt > this.#until) return 'nothing';
    const key = keyOf(id);
    const changed = this.#since !== undefined && changedAt > this.#since;
    if (operation === 'delete') {
      if (!changed) return 'nothing';
      this.#found.lost.add(key);
      return this.#passing(id, version);
    }
    const now = this.#now(id, patients);
    if (now) this.#found.now.add(key);
    if (changed) {
      if (now) return 'nothing'; // it is returned, whatever was before
      this.#passing(id, version);
      if (patients.length > 0) return 'watch';
      this.#telling = ['now'];
      return 'output-and-watch';
    }
    if (this.#since !== undefined && this.#before(id, patients)) this.#found.before.add(key);
    this.#telling = this.#since === undefined ? ['now'] : ['now', 'before'];
    return patients.length > 0 ? 'nothing' : 'output';
  }

  older(id: string, version: Version): Fate {
    if (this.#since !== undefined && version.changedAt > this.#since) return this.#passing(id, version);
    this.#found.lost.delete(keyOf(id));
    if (version.operation === 'delete') return 'nothing';
    if (this.#maybe(id, version.patients)) this.#found.maybe.add(keyOf(id));
    this.#telling = ['before'];
    return version.patients.length > 0 ? 'nothing' : 'output';
  }

  /** A version between `since` and the newest, or that: what it is in and what it left may have been in before. */
  #passing(id: string, { patients, leftPatients }: Version): Fate {
    if (this.#maybe(id, patients) || this.#maybe(id, leftPatients)) this.#found.maybe.add(keyOf(id));
    return 'watch';
  }
}

/** Selects nothing, but sees where the targets are, and where they were as of `since`. */
class TargetReading implements Selector {
  readonly timed: boolean;
  readonly #type: string;
  readonly #since: number | undefined;
  readonly #now: Belongs;
  readonly #before: Belongs;
  readonly #maybe: Belongs;
  readonly #found: Found;

  constructor({ task: { filter }, population }: TaskRun, type: string, found: Found) {
    this.timed = filter.since !== undefined;
    this.#type = type;
    this.#since = filter.since;
    this.#now = belongsNow(type, population);
    this.#before = belongsBefore(type, population);
    this.#maybe = maybeBefore(type, population);
    this.#found = found;
  }

  newest(id: string, version: Version): Fate {
    const target = `${this.#type}/${id}`;
    if (!this.#found.asks(target)) return 'nothing';
    if (version.operation !== 'delete' && this.#now(id, version.patients))
      for (const key of this.#found.about('now', target)) this.#found.now.add(key);
    return this.older(id, version);
  }

  older(id: string, { changedAt, operation, patients, leftPatients }: Version): Fate {
    if (this.#since === undefined) return 'nothing';
    const about = this.#found.about('before', `${this.#type}/${id}`);
    if (about.length === 0) return 'nothing';
    if (changedAt > this.#since) {
      if (this.#maybe(id, patients) || this.#maybe(id, leftPatients))
        for (const key of about) this.#found.maybe.add(key);
      return 'watch';
    }
    if (operation === 'delete' || !this.#maybe(id, patients)) return 'nothing';
    const had = this.#before(id, patients) ? this.#found.before : this.#found.maybe;
    for (const key of about) had.add(key);
    return 'nothing';
  }
}

function keyOf(id: string): string {
  return `Provenance/${id}`;
}
