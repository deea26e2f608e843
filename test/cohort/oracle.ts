import type { Json, Row, Rows } from './world.ts';

/** What a patient or group export is asked for. */
export interface Asked {
  readonly level: 'system' | 'patient' | 'group';
  readonly group?: string;
  readonly patients?: readonly string[];
  readonly types?: readonly string[];
  readonly provenance?: 'in-scope' | 'relevant' | 'latest';
  /** As `Type?element=value`; those of a type are alternatives. */
  readonly filters?: readonly string[];
  readonly elements?: readonly string[];
  /** Whether the client may have a resource of these patients, as of a time; everything by default. */
  readonly permits?: Permits;
  /** The resource as its client may see it. */
  readonly seen?: (row: Row, patients: readonly string[], rows: Rows, time: number) => Json;
}

export type Permits = (row: Row, patients: readonly string[], rows: Rows, time: number) => boolean;

export type Answer =
  | { readonly failed: 'not-found' | 'bad-request' }
  | {
      readonly failed: undefined;
      /** Lines by key. */
      readonly lines: ReadonlyMap<string, string>;
      /** The patients of each resource. */
      readonly owners: ReadonlyMap<string, readonly string[]>;
      readonly nobody: boolean;
    };

/** In R4 in some patient's compartment, of the types of the tests. */
const COMPARTMENT_TYPES = ['Appointment', 'Group', 'Observation', 'Patient', 'Provenance'];

/**
 * What an export without `_since` has to hold, of rows and a time. Written after the guide and R4's pages on compartments and
 * groups, as plainly as possible, and of nothing of the product.
 */
export function answer(rows: Rows, time: number, asked: Asked): Answer {
  const { group, patients = [], types = [], provenance = 'in-scope' } = asked;
  let members: Set<string> | undefined;
  let groups: Set<string> | undefined;
  if (group !== undefined) {
    if (!rows.has(`Group/${group}`)) return { failed: 'not-found' };
    members = new Set();
    groups = new Set();
    enrol(rows, time, group, members, groups);
    if (patients.some((id) => !members?.has(id))) return { failed: 'bad-request' };
    if (members.size === 0) return { failed: undefined, lines: new Map(), owners: new Map(), nobody: true };
  }
  if (patients.length > 0) {
    if (patients.some((id) => !rows.has(`Patient/${id}`))) return { failed: 'not-found' };
    members = new Set(patients);
  }
  const ownersOf = (row: Row): string[] =>
    compartmentsOf(row).filter((id) => members === undefined || members.has(id));
  const seen = (row: Row): Json => asked.seen?.(row, compartmentsOf(row), rows, time) ?? row.resource;
  const mayHave = (row: Row): boolean => asked.permits?.(row, compartmentsOf(row), rows, time) ?? true;
  const everything = asked.level === 'system';
  const inScope = (row: Row): boolean => {
    if (everything) return true;
    return row.type === 'Group' && groups !== undefined ? groups.has(row.id) : ownersOf(row).length > 0;
  };

  const wanted = (type: string): boolean => types.length === 0 || types.includes(type);
  const found = [...rows.values()].filter(
    (row) => (everything || COMPARTMENT_TYPES.includes(row.type)) && inScope(row) && mayHave(row),
  );
  const passes = (row: Row): boolean => row.readable && isLetThrough(row, asked.filters ?? []);
  const returned = found.filter((row) => wanted(row.type) && row.type !== 'Provenance' && passes(row));
  const context = new Set(returned.flatMap((row) => referencesIn(seen(row))));
  const provenances = [...rows.values()].filter((row) => row.type === 'Provenance' && mayHave(row));
  const chosen = [
    ...returned,
    ...[...rows.values()].filter(
      (row) =>
        !COMPARTMENT_TYPES.includes(row.type) &&
        !everything &&
        types.includes(row.type) &&
        mayHave(row) &&
        context.has(`${row.type}/${row.id}`),
    ),
    ...(provenance === 'in-scope'
      ? provenances.filter(
          (row) =>
            wanted('Provenance') &&
            (everything || compartmentsOf(row).length > 0 ? inScope(row) : about(row, found)),
        )
      : provenance === 'relevant'
        ? provenances.filter((row) => about(row, returned))
        : latest(provenances, returned)),
  ];
  return {
    failed: undefined,
    lines: new Map(chosen.filter(passes).map((row) => [`${row.type}/${row.id}`, lineOf(row, seen(row))])),
    owners: new Map(chosen.map((row) => [`${row.type}/${row.id}`, ownersOf(row)])),
    nobody: false,
  };
}

function isLetThrough({ type, resource }: Row, filters: readonly string[]): boolean {
  const own = filters.filter((filter) => filter.startsWith(`${type}?`));
  return (
    own.length === 0 ||
    own.some((filter) => {
      const [element = '', value] = filter.slice(type.length + 1).split('=');
      return String(resource[element]) === value;
    })
  );
}

function lineOf({ type, id, line, resource }: Row, seen: Json): string {
  return seen === resource ? line : JSON.stringify({ resourceType: type, id, ...seen });
}

/** The patients of a group as of a time. */
export function patientsIn(rows: Rows, time: number, group: string): ReadonlySet<string> {
  const patients = new Set<string>();
  enrol(rows, time, group, patients, new Set());
  return patients;
}

function enrol(rows: Rows, time: number, id: string, patients: Set<string>, groups: Set<string>): void {
  const group = rows.get(`Group/${id}`);
  if (!group || groups.has(id)) return;
  groups.add(id);
  if (group.resource['active'] === false) return;
  for (const member of list(group.resource['member'])) {
    if (member['inactive'] === true || !isNow(member['period'] as Json | undefined, time)) continue;
    const [type = '', memberId = ''] = String((member['entity'] as Json)['reference']).split('/');
    if (type === 'Patient') patients.add(memberId);
    if (type === 'Group') enrol(rows, time, memberId, patients, groups);
  }
}

/** Of periods with bounds to the millisecond, the year, or neither. */
function isNow(period: Json | undefined, time: number): boolean {
  const { start, end } = period ?? {};
  const bound = (text: unknown, edge: string): number =>
    Date.parse(/^\d{4}$/.test(String(text)) ? `${String(text)}${edge}` : String(text));
  if (start !== undefined && !(bound(start, '-01-01T00:00:00.000Z') <= time)) return false;
  return end === undefined || bound(end, '-12-31T23:59:59.999Z') >= time;
}

export function compartmentsOf({ type, id, resource }: Row): string[] {
  if (resource['trouble'] === 'cut') return type === 'Patient' ? [id] : []; // it is unreadable
  const references = {
    Patient: () => [`Patient/${id}`, ...list(resource['link']).map(({ other }) => refOf(other))],
    Observation: () => [refOf(resource['subject']), ...list(resource['performer']).map(refOf)],
    Appointment: () => list(resource['participant']).map(({ actor }) => refOf(actor)),
    Group: () => list(resource['member']).map(({ entity }) => refOf(entity)),
    Provenance: () => list(resource['target']).map(refOf),
  }[type];
  const patients = (references?.() ?? []).filter((one) => one.startsWith('Patient/'));
  return [...new Set(patients.map((one) => one.split('/')[1] ?? ''))];
}

function about({ resource }: Row, others: readonly Row[]): boolean {
  const targets = targetsOf(resource);
  return others.some(({ type, id }) => type !== 'Provenance' && targets.includes(`${type}/${id}`));
}

/** Of each target the one recorded last. */
function latest(provenances: readonly Row[], returned: readonly Row[]): Row[] {
  const recorded = ({ resource }: Row): number => Date.parse(String(resource['recorded']));
  const last = returned.flatMap((target) =>
    provenances
      .filter((row) => about(row, [target]))
      .sort((a, b) => recorded(b) - recorded(a))
      .slice(0, 1),
  );
  return [...new Set(last)];
}

function targetsOf(resource: Json): string[] {
  return list(resource['target']).map((target) => refOf(target).replace(/\/_history\/.*/, ''));
}

/** Every relative reference, wherever it is. */
function referencesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = 'reference' in value && typeof value.reference === 'string' ? [value.reference] : [];
  return [...own, ...Object.values(value).flatMap(referencesIn)];
}

function refOf(value: unknown): string {
  return String((value as Json | undefined)?.['reference']);
}

function list(value: unknown): readonly Json[] {
  return (value ?? []) as readonly Json[];
}
