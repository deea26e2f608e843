import { PATIENT_HASH_BYTES, patientHash } from '../events/audit.ts';
import type { Disclosed } from '../events/audit.ts';

/** Returns the ids of the jobs that wrote data of a patient, with how sure that is. */
export async function jobsThatHeld(
  patient: string,
  disclosed: AsyncIterable<Disclosed>,
): Promise<Map<string, 'named' | 'all'>> {
  const jobs = new Map<string, 'named' | 'all'>();
  const hash = patientHash(patient);
  for await (const { jobId, all, patients, hashes } of disclosed) {
    if (patients.includes(patient) || holds(hashes, hash)) jobs.set(jobId, 'named');
    else if (all && !jobs.has(jobId)) jobs.set(jobId, 'all');
  }
  return jobs;
}

/** Searches hashes that are sorted. */
function holds(hashes: Buffer, hash: number): boolean {
  let [low, high] = [0, hashes.length / PATIENT_HASH_BYTES];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = middle * PATIENT_HASH_BYTES;
    const found = hashes.readUIntBE(at, PATIENT_HASH_BYTES);
    if (found === hash) return true;
    if (found < hash) low = middle + 1;
    else high = middle;
  }
  return false;
}
