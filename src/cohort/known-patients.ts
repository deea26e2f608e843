import { HeadwaterError } from '../base/errors.ts';
import type { Offset } from '../base/positions.ts';
import type { GapsOf } from '../events/tasks.ts';
import { versionsOf } from './versions.ts';
import type { ResourceLog } from './versions.ts';

/** Throws `not-found` for a patient who is not there, or no longer, at the cut. */
export async function refuseUnknown(
  patients: readonly string[],
  at: {
    readonly ends: readonly Offset[];
    /** Where none of them is. */
    readonly gaps: GapsOf | undefined;
    readonly log: ResourceLog;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const wanted = { type: 'Patient', ids: patients, ends: at.ends, gaps: at.gaps, before: undefined };
  const found = await versionsOf(at.log, wanted, at.signal);
  const unknown = patients.find((id) => (found.get(id)?.now?.operation ?? 'delete') === 'delete');
  if (unknown === undefined) return;
  throw new HeadwaterError('not-found', `there is no Patient/${unknown} as of this export`, {
    subject: 'patient',
  });
}
