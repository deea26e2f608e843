import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import type { References } from '../fhir/reference.ts';
import { partsOf } from '../events/task-range.ts';
import type { GapsOf, OffsetRange } from '../events/tasks.ts';
import type { LogReader, RecordBatch } from '../log/log.ts';
import { partitionOf } from '../log/partition-of.ts';

/** The tools to read resources from the log. */
export interface ResourceLog {
  readonly reader: Pick<LogReader, 'readBackward'>;
  readonly decodeChange: (value: Buffer) => ResourceChange;
  readonly topicOf: (type: string) => string;
  readonly references: References;
}

/** A resource as of a cut and, on request, as of an earlier time. A delete is a version; undefined = there was no version. */
export interface Versions {
  readonly now: ResourceChange | undefined;
  readonly before: ResourceChange | undefined;
}

/**
 * Reads one partition after the other, backward, and stops when everything is found. It begins with the partitions to which the keys belong, so
 * it reads the others only for resources that are not there.
 */
export async function versionsOf(
  log: ResourceLog,
  wanted: {
    readonly type: string;
    readonly ids: Iterable<string>;
    readonly ends: readonly Offset[];
    /** Parts of a partition that hold none of the resources. */
    readonly gaps?: GapsOf | undefined;
    /** Stamp of the earlier time. */
    readonly before: number | undefined;
  },
  signal: AbortSignal,
): Promise<Map<string, Versions>> {
  const { type, ends, before } = wanted;
  const found = new Map<string, Versions>();
  const missing = new Set([...wanted.ids].map((id) => `${type}/${id}`));
  const own = new Set([...missing].map((key) => partitionOf(Buffer.from(key), ends.length)));
  for (const partition of new Set([...own, ...ends.keys()])) {
    const to = ends[partition];
    if (missing.size === 0 || to === undefined) break;
    const range = { type, partition, from: offset(0), to };
    const parts = partsOf({ ...range, gaps: wanted.gaps?.(range) ?? [] });
    for await (const batch of newestFirst(log, { type, partition, parts }, signal)) {
      for (let i = batch.end - 1; i >= batch.begin; i--) {
        const key = batch.keyText(i);
        if (!missing.has(key)) continue;
        // A copy, because the bytes of a batch are valid only until the next batch.
        const value = Buffer.from(batch.data.subarray(batch.valueStart(i), batch.valueEnd(i)));
        const change = log.decodeChange(value);
        const id = key.slice(type.length + 1);
        const now = found.get(id)?.now ?? change;
        const reached = before === undefined || change.stamp <= before;
        // The log knows nothing from before the first load. The version that the load found is the nearest.
        const known = reached || change.operation === 'snapshot';
        found.set(id, { now, before: known && before !== undefined ? change : undefined });
        if (known) missing.delete(key);
      }
      if (missing.size === 0) break;
    }
    // All versions of a resource are in one partition.
    for (const id of found.keys()) missing.delete(`${type}/${id}`);
  }
  return found;
}

export async function* newestFirst(
  { reader, topicOf }: ResourceLog,
  place: { readonly type: string; readonly partition: number; readonly parts: readonly OffsetRange[] },
  signal: AbortSignal,
): AsyncIterable<RecordBatch> {
  for (const part of place.parts)
    yield* reader.readBackward({ topic: topicOf(place.type), partition: place.partition, ...part }, signal);
}

/** Returns the resource of a version; undefined for no version, for a delete, and for a body that the log does not hold. */
export function resourceOf(version: ResourceChange | undefined): unknown {
  const body = version?.body;
  return body
    ? (JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString()) as unknown)
    : undefined;
}
