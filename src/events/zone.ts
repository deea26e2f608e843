import { isCompartmentType } from '../fhir/patient-compartment.ts';
import type { ResourceChange } from './resource-change.ts';
import type { OffsetRange } from './tasks.ts';

/** The patients that the records of consecutive offsets of one partition are about, in `headwater.zones`, key = type. */
export interface Zone extends OffsetRange {
  readonly type: string;
  readonly partition: number;
  /**
   * `hash32` of every patient whose compartment a record is in or left; ascending, without
   * repeats. Two may share one: a zone then seems to hold more than it does, never less.
   */
  readonly patients: Uint32Array;
}

/**
 * Stands for the patients of a Provenance that names none. Its targets decide whose it is, so the export of any patient has to read it.
 */
export const UNKNOWN_PATIENT = '';

/** Returns the patients that a zone must name for a record; undefined for a type that belongs to no patient. */
export function patientsAbout(
  type: string,
  { patients, leftPatients }: Pick<ResourceChange, 'patients' | 'leftPatients'>,
): readonly string[] | undefined {
  if (!isCompartmentType(type)) return undefined;
  const about = leftPatients.length > 0 ? [...patients, ...leftPatients] : patients;
  return type === 'Provenance' && patients.length === 0 ? [...about, UNKNOWN_PATIENT] : about;
}
