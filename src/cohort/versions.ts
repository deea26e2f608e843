import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import type { References } from '../fhir/reference.ts';
import { partsOf } from '../events/task-range.ts';
import type { GapsOf, OffsetRange } from '../events/tasks.ts';
import type { LogReader, RecordBatch } from '../log/log.ts';

/** How resources are read from the log. */
export interface ResourceLog {
  readonly reader: Pick<LogReader, 'readBackward'>;
  readonly decodeChange: (value: Buffer) => ResourceChange;
  readonly topicOf: (type: string) => string;
  readonly references: References;
}

/** A resource as of a cut and, if it was asked for, as of a time before. A delete is a version; undefined = there was none. */
export interface Versions {
  readonly now: ResourceChange | undefined;
  readonly before: ResourceChange | undefined;
}

/** One after the other: a partition is read backward, and only until everything is found. */
export async function versionsOf(
  log: ResourceLog,
  wanted: {
    readonly type: string;
    readonly ids: Iterable<string>;
    readonly ends: readonly Offset[];
    /** Parts of a partition in which none of them is. */
    readonly gaps?: GapsOf | undefined;
    /** Stamp of the time before. */
    readonly before: number | undefined;
  },
  signal: AbortSignal,
): Promise<Map<string, Versions>> {
  const { type, ends, before } = wanted;
  const found = new Map<string, Versions>();
  const missing = new Set([...wanted.ids].map((id) => `${type}/${id}`));
  for (const [partition, to] of ends.entries()) {
    if (missing.size === 0) break;
    const range = { type, partition, from: offset(0), to };
    const parts = partsOf({ ...range, gaps: wanted.gaps?.(range) ?? [] });
    for await (const batch of newestFirst(log, { type, partition, parts }, signal)) {
      for (let i = batch.end - 1; i >= batch.begin; i--) {
        const key = batch.keyText(i);
        if (!missing.has(key)) continue;
        // A copy: what a batch holds is valid only until the next one.
        const value = Buffer.from(batch.data.subarray(batch.valueStart(i), batch.valueEnd(i)));
        const change = log.decodeChange(value);
        const id = key.slice(type.length + 1);
        const now = found.get(id)?.now ?? change;
        const reached = before === undefined || change.stamp <= before;
        // Before the first load there is nothing to know; what it found is as near as it gets.
        const known = reached || change.operation === 'snapshot';
        found.set(id, { now, before: known && before !== undefined ? change : undefined });
        if (known) missing.delete(key);
      }
      if (missing.size === 0) break;
    }
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

/** The resource of a version; undefined for none, a delete, and one whose body the log does not hold. */
export function resourceOf(version: ResourceChange | undefined): unknown {
  const body = version?.body;
  return body
    ? (JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString()) as unknown)
    : undefined;
}
