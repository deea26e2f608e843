import { isObject } from '../base/is-object.ts';
import { RELATIVE_REFERENCES } from './reference.ts';
import type { References } from './reference.ts';
import table from './patient-compartment-r4.json' with { type: 'json' };

/** The paths of FHIR R4's CompartmentDefinition/patient, by resource type: their references put a resource in a compartment. */
const PATHS: ReadonlyMap<string, readonly (readonly string[])[]> = new Map(
  Object.entries(table).map(([type, params]) => [
    type,
    params.flatMap((param) => param.paths.map((path) => path.split('.'))),
  ]),
);

/** Ids of the patients in whose compartment a resource is, without repeats, in the order met. */
export function patientsOf(
  type: string,
  id: string,
  resource: unknown,
  references: References = RELATIVE_REFERENCES,
): string[] {
  const patients = new Set<string>();
  if (type === 'Patient') patients.add(id);
  for (const path of PATHS.get(type) ?? []) {
    for (const element of elementsAt(resource, path)) {
      const referred = references.of(element);
      if (referred?.type === 'Patient') patients.add(referred.id);
    }
  }
  return [...patients];
}

/** Types that can be in a patient's compartment at all. */
export function isCompartmentType(type: string): boolean {
  return type === 'Patient' || PATHS.has(type);
}

/** Step by step, since resources can be nested as deep as one likes. In FHIR a list is never an item of a list. */
function elementsAt(resource: unknown, path: readonly string[]): readonly unknown[] {
  let elements = [resource];
  for (const step of path) {
    const next: unknown[] = [];
    for (const element of elements) {
      if (!isObject(element)) continue;
      const value = element[step];
      if (Array.isArray(value)) for (const item of value as unknown[]) next.push(item);
      else next.push(value);
    }
    elements = next;
  }
  return elements;
}
