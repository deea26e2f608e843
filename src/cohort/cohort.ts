import { HeadwaterError } from '../base/errors.ts';
import type { Stamp } from '../base/positions.ts';
import { groupMembersOf, noMembers } from '../fhir/group-members.ts';
import type { GroupMembers } from '../fhir/group-members.ts';
import type { Scope } from '../events/tasks.ts';
import { resourceOf, versionsOf } from './versions.ts';
import type { ResourceLog, Versions } from './versions.ts';

/** Ids of patients; undefined = all patients. */
export type Patients = ReadonlySet<string> | undefined;

/** The patients and groups of an export. */
export interface Cohort {
  /** The members as of the cut. */
  readonly members: Patients;
  /** The members as of `since`, whose resources the client has. The same set if no patient joined or left, or without `since`. */
  readonly before: Patients;
  /** The groups asked for and the groups inside them; undefined if the export is not of a group. */
  readonly groups: ReadonlySet<string> | undefined;
  readonly groupsBefore: ReadonlySet<string> | undefined;
  /** A sentence for each reason why the cohort may be smaller than the client expects. */
  readonly warnings: readonly string[];
}

/** Groups in groups in groups. */
const DEEPEST = 16;

/**
 * Returns the cohort of a scope. A pure function of an immutable part of the log.
 * Throws `not-found` when there is no such group at the cut, `bad-request` for a patient who is not in it.
 */
export async function resolveCohort(
  scope: Scope,
  since: Stamp | undefined,
  log: ResourceLog,
  signal: AbortSignal,
): Promise<Cohort> {
  const only = scope.patients.length > 0 ? new Set(scope.patients) : undefined;
  const nobodyMoved = {
    members: only,
    before: only,
    groups: undefined,
    groupsBefore: undefined,
    warnings: [],
  };
  if (scope.group === undefined) return nobodyMoved;
  const groups = new Groups(scope, since, log, signal);
  const root = (await groups.versions([scope.group])).get(scope.group)?.now;
  if (root === undefined || root.operation === 'delete') {
    throw new HeadwaterError('not-found', `there is no Group/${scope.group} as of this export`, {
      subject: scope.group,
    });
  }
  const now = await groups.members(scope.group, 'now', scope.time);
  const before = since === undefined ? now : sameAs(now, await groups.members(scope.group, 'before', since));
  const stranger = scope.patients.find((id) => !now.patients.has(id));
  if (stranger !== undefined) {
    throw new HeadwaterError('bad-request', `patient: Patient/${stranger} is not in Group/${scope.group}`, {
      subject: 'patient',
    });
  }
  return {
    members: only ?? now.patients,
    before: only ? within(only, before.patients) : before.patients,
    groups: now.groups,
    groupsBefore: before.groups,
    warnings: now.warnings,
  };
}

/** The patients of a group at two times; the same set if no patient joined or left. */
export interface Members {
  readonly now: ReadonlySet<string>;
  readonly before: ReadonlySet<string>;
}

/** Returns the members of a group as of the cut and as of `since`. A group that is not there has none. */
export async function groupMembers(
  group: string,
  place: Pick<Scope, 'groupEnds' | 'time'>,
  {
    since,
    log,
    signal,
  }: { readonly since: Stamp | undefined; readonly log: ResourceLog; readonly signal: AbortSignal },
): Promise<Members> {
  const groups = new Groups(place, since, log, signal);
  const now = await groups.members(group, 'now', place.time);
  if (since === undefined) return { now: now.patients, before: now.patients };
  const before = sameAs(now, await groups.members(group, 'before', since));
  return { now: now.patients, before: before.patients };
}

interface Membership {
  readonly patients: ReadonlySet<string>;
  readonly groups: ReadonlySet<string>;
  readonly warnings: readonly string[];
}

class Groups {
  readonly #scope: Pick<Scope, 'groupEnds'>;
  readonly #since: Stamp | undefined;
  readonly #log: ResourceLog;
  readonly #signal: AbortSignal;
  readonly #known = new Map<string, Versions>();

  constructor(
    scope: Pick<Scope, 'groupEnds'>,
    since: Stamp | undefined,
    log: ResourceLog,
    signal: AbortSignal,
  ) {
    this.#scope = scope;
    this.#since = since;
    this.#log = log;
    this.#signal = signal;
  }

  async versions(ids: readonly string[]): Promise<ReadonlyMap<string, Versions>> {
    const unknown = ids.filter((id) => !this.#known.has(id));
    if (unknown.length > 0) {
      const wanted = { type: 'Group', ids: unknown, ends: this.#scope.groupEnds, before: this.#since };
      const found = await versionsOf(this.#log, wanted, this.#signal);
      for (const id of unknown) this.#known.set(id, found.get(id) ?? { now: undefined, before: undefined });
    }
    return this.#known;
  }

  /**
   * Members of a group and of the groups that are its members. A group inside itself adds nothing. If there is no member,
   * the groups are not exported either: they may list patients that they no longer contain.
   */
  async members(root: string, when: keyof Versions, at: number): Promise<Membership> {
    const patients = new Set<string>();
    const groups = new Set<string>();
    const warnings: string[] = [];
    let level = [root];
    for (let depth = 0; level.length > 0; depth++) {
      if (depth > DEEPEST)
        throw new HeadwaterError(
          'bad-request',
          `Group/${root} has groups in groups more than ${DEEPEST} deep`,
        );
      const versions = await this.versions(level);
      const next: string[] = [];
      for (const id of level) {
        const version = versions.get(id)?.[when];
        const gone = version === undefined || version.operation === 'delete';
        if (!gone) groups.add(id);
        const members = gone ? NO_MEMBERS : groupMembersOf(resourceOf(version), at, this.#log.references);
        if (members.noneBecause !== undefined) warnings.push(adds(id, members.noneBecause));
        if (members.unknown > 0) warnings.push(leavesOut(id, members));
        for (const patient of members.patients) patients.add(patient);
        next.push(...members.groups);
      }
      level = [...new Set(next)].filter((id) => !groups.has(id));
    }
    if (patients.size > 0) return { patients, groups, warnings };
    if (warnings.length === 0) warnings.push(adds(root, 'it has no member'));
    return { patients, groups: new Set(), warnings };
  }
}

function adds(group: string, noneBecause: string): string {
  return `Group/${group} adds no patient to this export: ${noneBecause}.`;
}

function leavesOut(group: string, { unknown, logical }: GroupMembers): string {
  const how = logical > 0 ? `, ${logical} of them by an identifier or a search` : '';
  return `Group/${group}: members left out: ${unknown}. They name no resource of this server by its id${how}.`;
}

const NO_MEMBERS = noMembers('there is no such group');

/** Returns the elements of the first set that are in the second. Returns the first set itself if all of its elements are. */
function within(some: ReadonlySet<string>, all: ReadonlySet<string>): ReadonlySet<string> {
  const both = [...some].filter((id) => all.has(id));
  return both.length === some.size ? some : new Set(both);
}

/** Returns the first cohort if both have the same patients and groups. So callers see by identity that no patient moved. */
function sameAs(now: Membership, before: Membership): Membership {
  const same = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean =>
    a.size === b.size && [...a].every((id) => b.has(id));
  return {
    patients: same(now.patients, before.patients) ? now.patients : before.patients,
    groups: same(now.groups, before.groups) ? now.groups : before.groups,
    warnings: [],
  };
}
