import type { Cohort, Patients } from '../cohort/cohort.ts';
import { MANY_PATIENTS } from '../events/resource-change.ts';
import type { Operation } from '../events/resource-change.ts';

/** What is decided by: of a record, the metadata. */
export interface Version {
  readonly operation: Operation;
  /** When it was committed, ms since 1970. */
  readonly changedAt: number;
  readonly patients: readonly string[];
  readonly leftPatients: readonly string[];
}

/** `watch`: nothing is known yet; an older version of the same resource may tell that the client has it. */
export type Fate =
  | 'output'
  | 'deleted'
  | 'nothing'
  | 'watch'
  /** Output, and older versions are asked about as well: for who looks at resources to choose others by them. */
  | 'output-and-watch';

export interface Period {
  /** Only what changed later; undefined = everything. */
  readonly since: number | undefined;
  /** Only what changed no later. */
  readonly until: number | undefined;
}

/** What decides about the resources of a type as replay meets them. */
export interface Selector {
  /** Whether times matter at all. */
  readonly timed: boolean;
  newest(id: string, version: Version): Fate;
  /** Asked while it watches a resource: its next older version. */
  older(id: string, version: Version): Fate;
}

/**
 * Which resources an export returns, and which it reports as gone. Pure. `in` is about whom the export is of (the whole
 * system, every patient, a group's members); "was in" is the same as of `since`, so: whether the client has it. Where that is
 * not known for certain, what it may lack is returned again, and what it may have is reported as gone.
 *
 * | # | newest version          | without since | changed after since                | not changed after since |
 * |---|-------------------------|---------------|------------------------------------|-------------------------|
 * | 1 | changed after `until`   | nothing       | nothing                            |                         |
 * | 2 | lives, in               | output        | output                             | output if it was not in |
 * | 3 | lives, not in           | nothing       | deleted if it or what it left was in, else watch | deleted if it was in |
 * | 4 | deleted                 | nothing       | deleted if it was in, else watch   | nothing                 |
 *
 * Watched: an older version, or what it left, was in -> deleted (5). An older version from before `since` decides it (6).
 * So applying an export with `since` to the one of that time gives the full export, whoever joined, left or moved.
 */
export class Selection implements Selector {
  readonly #period: Period;
  readonly #now: Belongs;
  readonly #before: Belongs;
  readonly #perhaps: Belongs;

  /**
   * @param scope.before what was in for certain
   * @param scope.perhaps and what may have been; as `before` when nothing is uncertain
   */
  constructor(
    period: Period,
    { now, before, perhaps = before }: { now: Belongs; before: Belongs; perhaps?: Belongs },
  ) {
    this.#period = period;
    this.#now = now;
    this.#before = before;
    this.#perhaps = perhaps;
  }

  /**
   * @param cohort undefined = the whole system
   * @param type of the resources that are asked about
   */
  static ofCohort(period: Period, cohort: Cohort | undefined, type: string): Selection {
    return new Selection(period, { now: belongsNow(type, cohort), before: belongsBefore(type, cohort) });
  }

  get timed(): boolean {
    return this.#period.since !== undefined || this.#period.until !== undefined;
  }

  newest(id: string, version: Version): Fate {
    const { since, until } = this.#period;
    if (until !== undefined && version.changedAt > until) return 'nothing'; // 1
    const changed = since !== undefined && version.changedAt > since;
    if (version.operation !== 'delete' && this.#now(id, version.patients))
      return since === undefined || changed || !this.#before(id, version.patients) ? 'output' : 'nothing'; // 2
    if (since === undefined) return 'nothing'; // 3, 4
    if (changed) return this.#wasIn(id, version) ? 'deleted' : 'watch'; // 3, 4
    return version.operation !== 'delete' && this.#perhaps(id, version.patients) ? 'deleted' : 'nothing'; // 3, 4
  }

  older(id: string, version: Version): Fate {
    const { since } = this.#period;
    if (since !== undefined && version.changedAt > since)
      return this.#wasIn(id, version) ? 'deleted' : 'watch'; // 5
    return version.operation !== 'delete' && this.#perhaps(id, version.patients) ? 'deleted' : 'nothing'; // 6
  }

  #wasIn(id: string, { patients, leftPatients }: Version): boolean {
    return this.#perhaps(id, patients) || this.#perhaps(id, leftPatients);
  }
}

/** Whether a resource is in, by its id and by whose compartments it is in. */
export type Belongs = (id: string, patients: readonly string[]) => boolean;

/** As of the cut. */
export function belongsNow(type: string, cohort: Cohort | undefined): Belongs {
  return cohort ? belongs(type, cohort.members, cohort.groups) : () => true;
}

/** As of `since`. */
export function belongsBefore(type: string, cohort: Cohort | undefined): Belongs {
  return cohort ? belongs(type, cohort.before, cohort.groupsBefore) : () => true;
}

function belongs(type: string, patients: Patients, groups: ReadonlySet<string> | undefined): Belongs {
  // R4 has a Group in the compartments of its members, but other groups with members of this one are nobody's business here.
  if (type === 'Group' && groups !== undefined) return (id) => groups.has(id);
  if (patients === undefined) return (_, list) => list.length > 0;
  return (_, list) => list.some((id) => id === MANY_PATIENTS || patients.has(id));
}
