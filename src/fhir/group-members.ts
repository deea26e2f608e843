import { isObject } from '../base/is-object.ts';
import { dateTimeRange } from './date-time.ts';
import { RELATIVE_REFERENCES } from './reference.ts';
import type { References } from './reference.ts';

/** The members of a Group, as the Group itself lists them. */
export interface GroupMembers {
  /** Ids, of members that are in at the time asked for. */
  readonly patients: readonly string[];
  readonly groups: readonly string[];
  /** How many members, of those that are in, name no resource of this server by its id. */
  readonly unknown: number;
  /** The number of them that name a member by an identifier or a search. */
  readonly logical: number;
  /** Why the group has no members although it may list some; undefined when that is not so. */
  readonly noneBecause: string | undefined;
}

/**
 * The members of an R4 Group at a time (ms since 1970). Out are members marked inactive, and those whose period has not begun,
 * has ended, or cannot be read; all of them when the group is not active. Of other members than patients and groups
 * (practitioners, devices) there is nothing to export.
 */
export function groupMembersOf(
  group: unknown,
  at: number,
  references: References = RELATIVE_REFERENCES,
): GroupMembers {
  const patients = new Set<string>();
  const groups = new Set<string>();
  let unknown = 0;
  let logical = 0;
  if (!isObject(group)) return noMembers('it cannot be read');
  if ('active' in group && group['active'] !== true) return noMembers('it is not active');
  const members: unknown[] = Array.isArray(group['member']) ? group['member'] : [];
  for (const member of members) {
    const { entity } = isObject(member) ? member : {};
    if (isObject(member) && !isIn(member, at)) continue;
    const referred = references.of(entity);
    if (!referred) unknown++;
    if (!referred && references.isLogical(entity)) logical++;
    if (referred?.type === 'Patient') patients.add(referred.id);
    if (referred?.type === 'Group') groups.add(referred.id);
  }
  const noneBecause = patients.size + groups.size === 0 ? 'it has no member' : undefined;
  return { patients: [...patients], groups: [...groups], unknown, logical, noneBecause };
}

export function noMembers(noneBecause: string): GroupMembers {
  return { patients: [], groups: [], unknown: 0, logical: 0, noneBecause };
}

function isIn(member: Readonly<Record<string, unknown>>, at: number): boolean {
  if ('inactive' in member && member['inactive'] !== false) return false;
  return !('period' in member) || covers(member['period'], at);
}

function covers(period: unknown, at: number): boolean {
  if (!isObject(period)) return false;
  const [start, end] = [period['start'], period['end']].map((bound) =>
    bound === undefined ? 'open' : typeof bound === 'string' ? dateTimeRange(bound) : undefined,
  );
  if (start === undefined || end === undefined) return false;
  return (start === 'open' || start.from <= at) && (end === 'open' || at < end.to);
}
