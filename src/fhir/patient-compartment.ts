import table from './patient-compartment-r4.json' with { type: 'json' };

/** Of FHIR R4's CompartmentDefinition/patient: the paths, by resource type, whose references put a resource in a compartment. */
const PATHS: ReadonlyMap<string, readonly (readonly string[])[]> = new Map(
  Object.entries(table).map(([type, params]) => [
    type,
    params.flatMap((param) => param.paths.map((path) => path.split('.'))),
  ]),
);

/** A relative reference to a patient, perhaps to a version of it. An absolute one may be another server's patient: not in. */
const PATIENT_REFERENCE = /^Patient\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;

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
  if (typeof value !== 'object' || value === null) return;
  const step = path[depth];
  if (step !== undefined) {
    collect((value as Record<string, unknown>)[step], path, depth + 1, patients);
    return;
  }
  const { reference } = value as { reference?: unknown };
  const match = typeof reference === 'string' ? PATIENT_REFERENCE.exec(reference) : null;
  if (match?.[1]) patients.add(match[1]);
}
