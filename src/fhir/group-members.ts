import { isObject } from '../base/is-object.ts';
import { dateTimeRange } from './date-time.ts';
import { parseReference } from './reference.ts';

/** Who is in a Group, as the Group itself says. */
export interface GroupMembers {
  /** Ids, of members that are in at the time asked for. */
  readonly patients: readonly string[];
  readonly groups: readonly string[];
  /** Why the group has no members although it may list some; undefined when that is not so. */
  readonly noneBecause: string | undefined;
}

/**
 * The members of an R4 Group at a time (ms since 1970). Out are members marked inactive, and those whose period has not begun,
 * has ended, or cannot be read; all of them when the group is not active. Of other members than patients and groups
 * (practitioners, devices) there is nothing to export.
 */
export function groupMembersOf(group: unknown, at: number): GroupMembers {
  const patients = new Set<string>();
  const groups = new Set<string>();
  if (!isObject(group)) return { patients: [], groups: [], noneBecause: 'it cannot be read' };
  if ('active' in group && group['active'] !== true)
    return { patients: [], groups: [], noneBecause: 'it is not active' };
  const members: unknown[] = Array.isArray(group['member']) ? group['member'] : [];
  for (const member of members) {
    if (!isObject(member) || ('inactive' in member && member['inactive'] !== false)) continue;
    if ('period' in member && !covers(member['period'], at)) continue;
    const { entity } = member;
    const referred = isObject(entity) ? parseReference(entity['reference']) : undefined;
    if (referred?.type === 'Patient') patients.add(referred.id);
    if (referred?.type === 'Group') groups.add(referred.id);
  }
  const noneBecause = patients.size + groups.size === 0 ? 'nobody is a member' : undefined;
  return { patients: [...patients], groups: [...groups], noneBecause };
}

function covers(period: unknown, at: number): boolean {
  if (!isObject(period)) return false;
  const [start, end] = [period['start'], period['end']].map((bound) =>
    bound === undefined ? 'open' : typeof bound === 'string' ? dateTimeRange(bound) : undefined,
  );
  if (start === undefined || end === undefined) return false;
  return (start === 'open' || start.from <= at) && (end === 'open' || at < end.to);
}
