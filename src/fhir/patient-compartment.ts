import { isObject } from '../base/is-object.ts';
import { parseReference } from './reference.ts';
import table from './patient-compartment-r4.json' with { type: 'json' };

/** Of FHIR R4's CompartmentDefinition/patient: the paths, by resource type, whose references put a resource in a compartment. */
const PATHS: ReadonlyMap<string, readonly (readonly string[])[]> = new Map(
  Object.entries(table).map(([type, params]) => [
    type,
    params.flatMap((param) => param.paths.map((path) => path.split('.'))),
  ]),
);

/** Ids of the patients in whose compartment a resource is, without repeats, in the order met. */
export function patientsOf(type: string, id: string, resource: unknown): string[] {
  const patients = new Set<string>();
  if (type === 'Patient') patients.add(id);
  for (const path of PATHS.get(type) ?? []) collect(resource, path, 0, patients);
  return [...patients];
}

/** Types that can be in a patient's compartment at all. */
export function isCompartmentType(type: string): boolean {
  return type === 'Patient' || PATHS.has(type);
}

function collect(value: unknown, path: readonly string[], depth: number, patients: Set<string>): void {
  if (Array.isArray(value)) {
    for (const item of value) collect(item, path, depth, patients);
    return;
  }
  if (!isObject(value)) return;
  const step = path[depth];
  if (step !== undefined) {
    collect(value[step], path, depth + 1, patients);
    return;
  }
  const referred = parseReference(value['reference']);
  if (referred?.type === 'Patient') patients.add(referred.id);
}
