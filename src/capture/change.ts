import { messageOf } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';
import type { Lsn, Stamp } from '../base/positions.ts';
import type { Operation, ResourceChange } from '../events/resource-change.ts';
import { UNKNOWN_PATIENT } from '../events/zone.ts';
import { isCompartmentType, patientsOf } from '../fhir/patient-compartment.ts';
import type { SourceRow } from './source-mapping.ts';

/** When and where something happened in the source. */
export interface ChangePoint {
  readonly stamp: Stamp;
  readonly lsn: Lsn;
}

export interface KeyedChange {
  readonly type: string;
  readonly id: string;
  readonly change: ResourceChange;
  /** Why the body is not in the log although the resource lives. */
  readonly problem: string | undefined;
}

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const SPACE = 32;

/**
 * What a row means as a change of a resource; null when it means nothing (a row that is marked deleted and was before).
 * `old` is the row as it was, for updates and deletes.
 *
 * | # | old row        | new row        | change                                    |
 * |---|----------------|----------------|-------------------------------------------|
 * | 1 | none or deleted| live           | create (snapshot in the first load)       |
 * | 2 | live           | live, same key | update                                    |
 * | 3 | live           | none or deleted| delete                                    |
 * | 4 | none or deleted| none or deleted| nothing                                   |
 * An update that changes the key is a delete of the old (3) and a create of the new (1): `changesOf`.
 */
export function changesOf(
  old: SourceRow | undefined,
  row: SourceRow | undefined,
  point: ChangePoint,
  limits: { readonly maxBytes: number },
): KeyedChange[] {
  const before = old && !old.deleted ? old : undefined;
  const after = row && !row.deleted ? whole(row, old) : undefined;
  if (!after) return before ? [deletion(before, point)] : []; // 3, 4
  const moved = before !== undefined && (before.type !== after.type || before.id !== after.id);
  if (moved) return [deletion(before, point), living('create', after, undefined, { point, limits })]; // 3, then 1
  return [living(before ? 'update' : 'create', after, before, { point, limits })]; // 2, 1
}

/** With the body that the update left as it was: the old row has it, also one that was marked deleted. */
function whole(row: SourceRow, old: SourceRow | undefined): SourceRow {
  return row.body === undefined ? { ...row, body: old?.body } : row;
}

/** A row that a load found. */
export function loadedChange(
  operation: 'snapshot' | 'update',
  row: SourceRow,
  point: ChangePoint,
  limits: { readonly maxBytes: number },
): KeyedChange {
  return living(operation, row, undefined, { point, limits });
}

function living(
  operation: Operation,
  row: SourceRow,
  before: SourceRow | undefined,
  context: { point: ChangePoint; limits: { readonly maxBytes: number } },
): KeyedChange {
  const read = readBody(row, context.limits.maxBytes);
  const left = before ? leftBy(before, row, read.patients) : [];
  return {
    type: row.type,
    id: row.id,
    problem: read.problem,
    change: {
      operation,
      ...context.point,
      versionId: row.version,
      lastUpdated: row.lastUpdated,
      oversizeBytes: read.oversizeBytes,
      patients: read.patients,
      leftPatients: left,
      body: read.body,
    },
  };
}

/** Old rows are only parsed when they can tell something. */
function leftBy(before: SourceRow, row: SourceRow, patients: readonly string[]): string[] {
  if (!isCompartmentType(row.type) || !before.body || (row.body && before.body.equals(row.body))) return [];
  const owners = compartmentsOf(before);
  // Whoever looks at the version that was nobody's must come by this one as well.
  if (row.type === 'Provenance' && owners.length === 0 && patients.length > 0) return [UNKNOWN_PATIENT];
  return owners.filter((patient) => !patients.includes(patient));
}

function deletion(row: SourceRow, point: ChangePoint): KeyedChange {
  return {
    type: row.type,
    id: row.id,
    problem: undefined,
    change: {
      operation: 'delete',
      ...point,
      versionId: row.version,
      lastUpdated: row.lastUpdated,
      oversizeBytes: null,
      patients: compartmentsOf(row),
      leftPatients: [],
      body: null,
    },
  };
}

interface ReadBody {
  readonly body: Buffer | null;
  readonly oversizeBytes: number | null;
  readonly patients: string[];
  readonly problem: string | undefined;
}

function readBody(row: SourceRow, maxBytes: number): ReadBody {
  const nothing = { body: null, oversizeBytes: null, patients: row.type === 'Patient' ? [row.id] : [] };
  if (row.body === undefined || row.body === null)
    return { ...nothing, problem: 'the source row has no body' };
  if (row.body.length > maxBytes) {
    const problem = `its ${row.body.length} bytes are over HEADWATER_MAX_RESOURCE_BYTES (${maxBytes})`;
    return { ...nothing, oversizeBytes: row.body.length, patients: compartmentsOf(row), problem };
  }
  try {
    const resource: unknown = JSON.parse(row.body.toString('utf8'));
    if (!isObject(resource)) {
      return { ...nothing, problem: 'its body is not a JSON object' };
    }
    return {
      body: oneLine(row.body),
      oversizeBytes: null,
      patients: patientsOf(row.type, row.id, resource),
      problem: undefined,
    };
  } catch (error) {
    return {
      ...nothing,
      problem: `its body is not JSON: ${messageOf(error)
        .replace(/["'].*/s, '')
        .trim()}`,
    };
  }
}

function compartmentsOf(row: SourceRow): string[] {
  try {
    return patientsOf(row.type, row.id, row.body ? JSON.parse(row.body.toString('utf8')) : undefined);
  } catch {
    return row.type === 'Patient' ? [row.id] : [];
  }
}

/** Line breaks in JSON text can only stand between its tokens, where a space means the same: a body must be one line. */
function oneLine(body: Buffer): Buffer {
  if (!body.includes(NEWLINE) && !body.includes(CARRIAGE_RETURN)) return body;
  return Buffer.from(body.map((byte) => (byte === NEWLINE || byte === CARRIAGE_RETURN ? SPACE : byte)));
}
