import { HeadwaterError } from '../base/errors.ts';
import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import { partsOf } from '../events/task-range.ts';
import type { GapsOf } from '../events/tasks.ts';
import { newestFirst } from './versions.ts';
import type { ResourceLog } from './versions.ts';

const TYPE = 'Patient';

/** Throws `not-found` for a patient that does not exist at the cut. */
export async function refuseUnknown(
  patients: readonly string[],
  at: {
    readonly ends: readonly Offset[];
    /** The stretches of the log that hold none of these patients. */
    readonly gaps: GapsOf | undefined;
    readonly log: ResourceLog;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { ends, gaps, log, signal } = at;
  /** The patients whose newest version is not read yet. Only their ids are in memory, because many bodies would be too large. */
  const missing = new Set(patients.map((id) => `${TYPE}/${id}`));
  const deleted = new Set<string>();
  for (const [partition, to] of ends.entries()) {
    if (missing.size === 0) break;
    const range = { type: TYPE, partition, from: offset(0), to };
    const parts = partsOf({ ...range, gaps: gaps?.(range) ?? [] });
    for await (const batch of newestFirst(log, { type: TYPE, partition, parts }, signal)) {
      for (let i = batch.end - 1; i >= batch.begin; i--) {
        const key = batch.keyText(i);
        if (!missing.delete(key)) continue;
        const value = batch.data.subarray(batch.valueStart(i), batch.valueEnd(i));
        if (log.decodeChange(value).operation === 'delete') deleted.add(key);
      }
      if (missing.size === 0) break;
    }
  }
  const unknown = patients.map((id) => `${TYPE}/${id}`).find((key) => missing.has(key) || deleted.has(key));
  if (unknown === undefined) return;
  throw new HeadwaterError('not-found', `there is no ${unknown} as of this export`, { subject: 'patient' });
}
