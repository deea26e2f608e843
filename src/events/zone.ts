import { isCompartmentType } from '../fhir/patient-compartment.ts';
import { isUnread } from './resource-change.ts';
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
 * Stands for patients who are unknown, so that the export of any patient has to read the record: of a Provenance that names none, since its
 * targets decide whose it is, and of a resource that cannot be read.
 */
export const UNKNOWN_PATIENT = '';

/** Returns the patients that a zone must name for a record; undefined for a type that belongs to no patient. */
export function patientsAbout(
  type: string,
  change: Pick<ResourceChange, 'operation' | 'body' | 'patients' | 'leftPatients'>,
): readonly string[] | undefined {
  if (!isCompartmentType(type)) return undefined;
  const { patients, leftPatients } = change;
  const about = leftPatients.length > 0 ? [...patients, ...leftPatients] : patients;
  const isUnknown = isUnread(change) || (type === 'Provenance' && patients.length === 0);
  return isUnknown ? [...about, UNKNOWN_PATIENT] : about;
}
