import type { Lsn, Stamp } from '../base/positions.ts';
import { MANY_PATIENTS } from '../events/resource-change.ts';
import type { Operation, ResourceChange } from '../events/resource-change.ts';
import { UNKNOWN_PATIENT } from '../events/zone.ts';
import { isCompartmentType } from '../fhir/patient-compartment.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import { keyId, named, patientsOfRow, readRow } from './read-row.ts';
import type { RowRules } from './read-row.ts';
import type { SourceRow } from './presets/source-row.ts';

/** When and where something happened in the source. */
export interface ChangePoint {
  readonly stamp: Stamp;
  readonly lsn: Lsn;
}

export interface KeyedChange {
  readonly type: string;
  readonly id: string;
  readonly change: ResourceChange;
  /** The reason why the log has no body of a living resource. */
  readonly problem: string | undefined;
}

const NO_PATIENTS: ReadonlySet<string> = new Set();

/**
 * Returns the changes of resources that a changed row means; none when it means nothing (a row that is marked deleted and was before).
 * `old` is the row as it was, for updates and deletes.
 *
 * | # | old row        | new row        | change                                    |
 * |---|----------------|----------------|-------------------------------------------|
 * | 1 | none or deleted| live           | create (snapshot in the first load)       |
 * | 2 | live           | live, same key | update                                    |
 * | 3 | live           | none or deleted| delete                                    |
 * | 4 | none or deleted| none or deleted| nothing                                   |
 * | 5 | live           | live, looks the same | nothing                             |
 * An update that changes the key is a delete of the old (3) and a create of the new (1): `changesOf`.
 */
export function changesOf(
  old: SourceRow | undefined,
  row: SourceRow | undefined,
  point: ChangePoint,
  rules: RowRules,
): KeyedChange[] {
  const before = old && !old.deleted && isResourceType(old.type) ? old : undefined; // other types are never captured
  const after = row && !row.deleted ? whole(row, old) : undefined;
  if (!after) return before ? [deletion(before, point, rules)] : []; // 3, 4
  const moved = before !== undefined && (before.type !== after.type || before.id !== after.id);
  if (moved) return [deletion(before, point, rules), living('create', after, undefined, { point, rules })]; // 3, then 1
  const change = living(before ? 'update' : 'create', after, before, { point, rules });
  return before && looksTheSame(before, after, change, rules) ? [] : [change]; // 5, 2, 1
}

/** Whether an update shows nowhere: servers write rows again, for example when they rebuild an index. */
function looksTheSame(
  before: SourceRow,
  after: SourceRow,
  { change }: KeyedChange,
  rules: RowRules,
): boolean {
  if (before.version !== after.version || before.lastUpdated !== after.lastUpdated) return false;
  if (sameBytes(before.body, after.body) && sameColumns(before, after)) return true;
  return change.body !== null && sameBytes(readRow(before, rules).body, change.body);
}

function sameBytes(a: Uint8Array | null | undefined, b: Uint8Array | null | undefined): boolean {
  return a && b ? Buffer.compare(a, b) === 0 : (a ?? null) === (b ?? null);
}

function sameColumns(before: SourceRow, after: SourceRow): boolean {
  const [{ extra: a = {} }, { extra: b = {} }] = [before, after];
  return before.updated === after.updated && Object.keys(b).every((name) => a[name] === b[name]);
}

/** Returns the row with a body that the update left unchanged: the old row has it, also a row that was marked deleted. */
function whole(row: SourceRow, old: SourceRow | undefined): SourceRow {
  return row.body === undefined ? { ...row, body: old?.body } : row;
}

/** Returns the change of a row that a load has read. */
export function loadedChange(
  operation: 'snapshot' | 'update',
  row: SourceRow,
  point: ChangePoint,
  rules: RowRules,
): KeyedChange {
  return living(operation, row, undefined, { point, rules });
}

/**
 * A record of a reload with the patients whose compartment the resource has left since the version before, which is alive; undefined
 * when there are none, and for a delete.
 */
export function afterReload(
  type: string,
  before: Pick<ResourceChange, 'patients' | 'leftPatients'>,
  change: ResourceChange,
): ResourceChange | undefined {
  if (change.operation === 'delete') return undefined;
  const known = [...before.patients, ...before.leftPatients, ...change.leftPatients];
  const left = leftOf(
    type,
    { owners: new Set(before.patients), known: new Set(known) },
    new Set(change.patients),
  );
  if (before.patients.includes(MANY_PATIENTS)) left.add(MANY_PATIENTS); // the many are not named, so it may have left any of them
  return left.size > change.leftPatients.length ? { ...change, leftPatients: named(left) } : undefined;
}

function living(
  operation: Operation,
  row: SourceRow,
  before: SourceRow | undefined,
  { point, rules }: { readonly point: ChangePoint; readonly rules: RowRules },
): KeyedChange {
  const read = readRow(row, rules);
  const left = before ? leftBy(before, row, read.patients, rules) : NO_PATIENTS;
  return {
    type: row.type,
    id: keyId(row.id),
    problem: read.problem,
    change: {
      operation,
      ...point,
      versionId: row.version,
      lastUpdated: row.lastUpdated,
      oversizeBytes: read.oversizeBytes,
      problem: read.problem ?? null,
      patients: named(read.patients),
      leftPatients: named(left),
      body: read.body,
    },
  };
}

/** Parses an old row only if its content is needed. */
function leftBy(
  before: SourceRow,
  row: SourceRow,
  patients: ReadonlySet<string>,
  rules: RowRules,
): ReadonlySet<string> {
  if (!isCompartmentType(row.type)) return NO_PATIENTS;
  if (!before.lost && (!before.body || (row.body && before.body.equals(row.body)))) return NO_PATIENTS;
  const owners = patientsOfRow(before, rules);
  return leftOf(row.type, { owners, known: owners }, patients);
}

/** Returns the `known` ones that are no longer among the patients. */
function leftOf(
  type: string,
  { owners, known }: { readonly owners: ReadonlySet<string>; readonly known: ReadonlySet<string> },
  patients: ReadonlySet<string>,
): Set<string> {
  const left = new Set([...known].filter((patient) => !patients.has(patient)));
  // A reader that looks for the version that belonged to no patient must meet this version too.
  if (type === 'Provenance' && owners.size === 0 && patients.size > 0) left.add(UNKNOWN_PATIENT);
  return left;
}

function deletion(row: SourceRow, point: ChangePoint, rules: RowRules): KeyedChange {
  return {
    type: row.type,
    id: keyId(row.id),
    problem: undefined,
    change: {
      operation: 'delete',
      ...point,
      versionId: row.version,
      lastUpdated: row.lastUpdated,
      oversizeBytes: null,
      problem: null,
      patients: named(patientsOfRow(row, rules)),
      leftPatients: [],
      body: null,
    },
  };
}
