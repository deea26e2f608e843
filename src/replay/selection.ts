import type { Cohort, Patients } from '../cohort/cohort.ts';
import type { Belongs, Rights } from '../cohort/rights.ts';
import { MANY_PATIENTS } from '../events/resource-change.ts';
import type { Operation } from '../events/resource-change.ts';

/** Record metadata that the selection depends on. */
export interface Version {
  readonly operation: Operation;
  /** When it was committed, ms since 1970. */
  readonly changedAt: number;
  readonly patients: readonly string[];
  readonly leftPatients: readonly string[];
  /** It lives, but its patients are unknown. */
  readonly unread?: boolean;
}

/**
 * The fate of a resource:
 * `held`: deleted, if the client was given this version: if it can be returned and filters let it through;
 * `later`: a later export returns it, if it can be returned and filters let it through;
 * `watch`: nothing is known yet; an older version of the same resource may tell that the client has it;
 * `doubtful`: the client may have it; deleted, unless an older version tells that it has not;
 * `output-and-watch`: output, and older versions are asked about as well: for who looks at resources to choose others by them.
 */
export type Fate =
  'output' | 'later' | 'deleted' | 'held' | 'nothing' | 'watch' | 'doubtful' | 'output-and-watch';

export interface Period {
  /** Only what changed later; undefined = everything. */
  readonly since: number | undefined;
  /** Only what changed no later. */
  readonly until: number | undefined;
}

/** Decides about the resources of a type as replay meets them. */
export interface Selector {
  /** Whether times matter at all. */
  readonly timed: boolean;
  newest(id: string, version: Version): Fate;
  /** Asked while it watches a resource: its next older version. */
  older(id: string, version: Version): Fate;
  /** Asked about a newest version that was to be returned, when a filter leaves it out or there is a problem with it. */
  leftOut?(id: string, version: Version): Fate;
  /** Whether what is gone is reported. */
  readonly increment?: boolean;
  /** Whether the client must not learn of a resource whose patients are unknown. */
  readonly restricted?: boolean;
  /** Whether the client must not learn of a resource whose content is unknown. */
  readonly limited?: boolean;
}

/**
 * Decides which resources an export returns, and which it reports as gone. Pure. `in` is about the cohort of the export (the whole
 * system, every patient, a group's members); "was in" is the same as of `since`, so: whether the client has it. Where that is
 * not known for certain, what it may lack is returned again, and what it may have is reported as gone.
 *
 * | # | newest version          | without since | changed after since                | not changed after since |
 * |---|-------------------------|---------------|------------------------------------|-------------------------|
 * | 1 | changed after `until`   | nothing       | nothing if a later export returns it, else as 3 to 5 |     |
 * | 2 | lives, in               | output        | output                             | output if it was not in |
 * | 3 | lives, not in           | nothing       | deleted if it or what it left was in, else watch | held if it was in |
 * | 4 | deleted                 | nothing       | deleted if it was in, else watch   | nothing                 |
 * | 5 | 2, but left out         | nothing       | as 3; a new resource: watch        | nothing                 |
 *
 * Watched: an older version, or what it left, was in -> deleted (6). An older version from before `since` decides it: held, if it was
 * in (7). Where filters decide as well, a version after `since` cannot tell whether its client has the resource: instead of
 * deleted it is doubtful, and a version that is the resource's first ends the doubt (8).
 * So applying an export with `since` to the one of that time gives the full export, whichever patients joined, left or moved.
 */
export class Selection implements Selector {
  readonly #period: Period;
  readonly #now: Belongs;
  readonly #before: Belongs;
  readonly #maybe: Belongs;
  readonly #touched: Belongs;
  readonly #filtered: boolean;
  readonly restricted: boolean;
  readonly limited: boolean;

  /**
   * @param scope.before what was in for certain
   * @param scope.maybe and what may have been; as `before` when nothing is uncertain
   * @param scope.touched as `maybe`, when not all patients of the resource are known
   * @param scope.filtered whether filters choose among what is in
   * @param scope.restricted whether rights choose among what is in
   * @param scope.limited whether rights look at the content of what is in
   */
  constructor(
    period: Period,
    scope: {
      readonly now: Belongs;
      readonly before: Belongs;
      readonly maybe?: Belongs;
      readonly touched?: Belongs;
      readonly filtered?: boolean;
      readonly restricted?: boolean;
      readonly limited?: boolean | undefined;
    },
  ) {
    this.#period = period;
    this.#now = scope.now;
    this.#before = scope.before;
    this.#maybe = scope.maybe ?? scope.before;
    this.#touched = scope.touched ?? this.#maybe;
    this.#filtered = scope.filtered ?? false;
    this.restricted = scope.restricted ?? false;
    this.limited = scope.limited ?? false;
  }

  /** @param type of the resources that are asked about */
  static of(period: Period, population: Population, type: string, filtered = false): Selection {
    return new Selection(period, {
      now: belongsNow(type, population),
      before: keptSince(type, population),
      maybe: maybeBefore(type, population),
      touched: touchedBefore(type, population),
      filtered: filtered || population.rights(type)?.exact === false,
      restricted: population.rights(type) !== undefined,
      limited: population.rights(type)?.limited,
    });
  }

  get timed(): boolean {
    return this.#period.since !== undefined || this.#period.until !== undefined;
  }

  get increment(): boolean {
    return this.#period.since !== undefined;
  }

  newest(id: string, version: Version): Fate {
    const { since, until } = this.#period;
    const { changedAt, operation, patients } = version;
    const late = until !== undefined && changedAt > until;
    if (late && since === undefined) return 'nothing'; // 1
    const changed = since !== undefined && changedAt > since;
    // An unreadable version belongs to the patients of the version before, or to any patient.
    const owners = version.unread ? version.leftPatients : patients;
    const anybodys = version.unread === true && owners.length === 0 && !this.restricted;
    if (operation !== 'delete' && (anybodys || this.#now(id, owners))) {
      if (late) return 'later'; // 1
      const had = since !== undefined && !changed && (anybodys || this.#before(id, owners));
      return had ? 'nothing' : 'output'; // 2
    }
    if (since === undefined) return 'nothing'; // 3, 4
    return changed ? this.#gone(id, version) : this.#asOfSince(id, version); // 3, 4
  }

  older(id: string, version: Version): Fate {
    const { since } = this.#period;
    const changed = since !== undefined && version.changedAt > since;
    return changed ? this.#gone(id, version) : this.#asOfSince(id, version); // 6, 7
  }

  leftOut(id: string, version: Version): Fate {
    const { since } = this.#period;
    if (since === undefined || version.changedAt <= since) return 'nothing'; // 5
    return version.operation === 'create' ? 'watch' : this.#gone(id, version); // 5
  }

  /** The fate of a version after `since` that is not returned. */
  #gone(id: string, { operation, patients, leftPatients }: Version): Fate {
    // A deletion names the patients of the version before, and of what was loaded there is no other version. An update may name more or
    // fewer than the version before: of all of them, one may have been wanted, and another one permitted.
    const exact = (operation === 'delete' || operation === 'snapshot') && leftPatients.length === 0;
    const had = exact
      ? this.#maybe(id, patients)
      : this.#touched(id, leftPatients.length === 0 ? patients : [...patients, ...leftPatients]);
    if (!had) return 'watch';
    if (!this.#filtered) return 'deleted';
    return operation === 'create' ? 'watch' : 'doubtful'; // 8
  }

  /** The fate of the version that an export of `since` met. */
  #asOfSince(id: string, { operation, patients }: Version): Fate {
    return operation !== 'delete' && this.#maybe(id, patients) ? 'held' : 'nothing';
  }
}

/** Selects what was in at a time, as far as the log still holds it. */
export class AsOf implements Selector {
  readonly timed = true;
  readonly #time: number;
  readonly #belongs: Belongs;

  constructor(time: number, belongs: Belongs) {
    this.#time = time;
    this.#belongs = belongs;
  }

  newest(id: string, { changedAt, operation, patients }: Version): Fate {
    if (changedAt > this.#time) return 'watch';
    return operation !== 'delete' && this.#belongs(id, patients) ? 'output' : 'nothing';
  }

  older(id: string, version: Version): Fate {
    return this.newest(id, version);
  }
}

/** The patients and rights that decide what an export may hold. */
export interface Population {
  /** undefined = the whole system. */
  readonly cohort: Cohort | undefined;
  readonly rights: Rights;
}

/**
 * Whether a resource belongs as of the cut. A resource of more patients than its record names counts: what can be read of it names them all,
 * and what cannot be read is reported as a problem.
 */
export function belongsNow(type: string, { cohort, rights }: Population): Belongs {
  const wanted = cohort && belongs(type, cohort.members, cohort.groups, 'maybe');
  return both(wanted, rights(type)?.now);
}

/** Whether a resource certainly belonged as of `since`: then the client has it. */
export function belongsBefore(type: string, { cohort, rights }: Population): Belongs {
  const wanted = cohort && belongs(type, cohort.before, cohort.groupsBefore, 'certainly');
  return both(wanted, rights(type)?.before);
}

/** Whether a resource certainly belonged as of `since`, in the form that it has now. */
function keptSince(type: string, { cohort, rights }: Population): Belongs {
  const wanted = cohort && belongs(type, cohort.before, cohort.groupsBefore, 'certainly');
  return both(wanted, rights(type)?.kept);
}

/** Whether a resource may have belonged as of `since`: then the client may have it. */
export function maybeBefore(type: string, { cohort, rights }: Population): Belongs {
  const wanted = cohort && belongs(type, cohort.before, cohort.groupsBefore, 'maybe');
  return both(wanted, rights(type)?.before);
}

/** Whether a resource that named these patients, and maybe others, may have belonged as of `since`. */
export function touchedBefore(type: string, { cohort, rights }: Population): Belongs {
  const wanted = cohort && belongs(type, cohort.before, cohort.groupsBefore, 'maybe');
  return both(wanted, rights(type)?.touched);
}

function both(wanted: Belongs | undefined, permitted: Belongs | undefined): Belongs {
  if (!wanted) return permitted ?? (() => true);
  if (!permitted) return wanted;
  return (id, patients) => wanted(id, patients) && permitted(id, patients);
}

/** @param how what `MANY_PATIENTS` means: these patients may be among the many */
function belongs(
  type: string,
  patients: Patients,
  groups: ReadonlySet<string> | undefined,
  how: 'certainly' | 'maybe',
): Belongs {
  // R4 has a Group in the compartments of its members, but other groups with members of this one do not matter here.
  if (type === 'Group' && groups !== undefined) return (id) => groups.has(id);
  if (patients === undefined) return (_, list) => list.length > 0;
  return (_, list) => list.some((id) => patients.has(id) || (id === MANY_PATIENTS && how === 'maybe'));
}
