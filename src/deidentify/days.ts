import { createHmac } from 'node:crypto';
import type { Config, DateShiftScope } from './config.ts';

const RANGE = 50;

/** The facts about an export and a resource that decide how far dates move. */
interface ShiftContext {
  /** Id of the resource, as the source has it. */
  readonly id: string;
  /** Ids of the patients in whose compartments the resource is. */
  readonly patients: readonly string[];
  /** Name of the export's cut, for the scope `folder`. */
  readonly folder: string;
}

/** Returns the days by which the dates of a resource move, between -50 and 50 unless the configuration fixes them. */
export function daysOf(
  { parameters }: Pick<Config, 'parameters'>,
  { scope, key }: { readonly scope: DateShiftScope; readonly key: Buffer },
  { id, patients, folder }: ShiftContext,
): number {
  const [patient, ...others] = patients;
  if (parameters.dateShiftFixedOffsetInDays !== undefined) return parameters.dateShiftFixedOffsetInDays;
  if (scope === 'folder') return polynomialDays(folder, key);
  if (scope === 'patient' && patient !== undefined && others.length === 0) return patientDays(patient, key);
  return polynomialDays(id, key);
}

/** Microsoft's algorithm ("Date-shift", steps 2 and 3): a polynomial hash of the prefix and the key, modulo 101. */
function polynomialDays(prefix: string, key: Buffer): number {
  const bytes = Buffer.concat([Buffer.from(prefix), key]);
  return bytes.reduce((hash, byte) => (hash * 131 + byte) % (2 * RANGE + 1), 0) - RANGE;
}

/** The same days for everything of a patient, so that the intervals stay. Who knows days of one patient learns nothing of another. */
function patientDays(patient: string, key: Buffer): number {
  const hash = createHmac('sha256', key).update(`patient\n${patient}`).digest();
  return (hash.readUIntBE(0, 6) % (2 * RANGE + 1)) - RANGE;
}
