import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import { isCompartmentType } from '../fhir/patient-compartment.ts';
import type { CaptureOptions } from './capture-options.ts';
import { afterReload } from './change.ts';
import type { ChangePoint } from './change.ts';
import type { ChangeWriter } from './change-writer.ts';
import { liveKeys } from './live-keys.ts';
import type { LiveKey } from './live-keys.ts';
import type { LogSender } from './log-sender.ts';

/** Old versions held at a time. More of them take further passes over what the reload wrote. */
const KEYS_A_PASS = 200_000;

interface Moving extends Pick<CaptureOptions, 'reader' | 'topics' | 'decodeChange'> {
  readonly sender: LogSender;
  readonly writer: ChangeWriter;
  readonly point: ChangePoint;
  readonly signal: AbortSignal;
  readonly keysAPass?: number;
}

/** A partition with the offsets between which the reload wrote to it. */
interface Place {
  readonly type: string;
  readonly topic: string;
  readonly partition: number;
  readonly from: Offset;
  readonly to: Offset;
}

/**
 * Completes what a reload wrote to a type's topic. A reload knows only the new row, so its records do not name the patients whose
 * compartment a resource has left meanwhile. Those of such resources are written again with these patients, as the stream
 * would have written them: the log keeps them when the versions from before the reload are compacted away.
 * @param before where the partitions ended before the reload
 * @param ends where they end now; everything before is committed
 */
export async function writeMovedAway(
  options: Moving,
  type: string,
  { before, ends }: { readonly before: readonly number[]; readonly ends: readonly number[] },
): Promise<void> {
  if (!isCompartmentType(type)) return;
  const topic = options.topics.topicOf(type);
  for (const [partition, end] of ends.entries()) {
    const from = offset(before[partition] ?? 0);
    const place = { type, topic, partition, from, to: offset(end) };
    if (place.to > from) await completePartition(options, place);
  }
  await options.sender.flush();
}

async function completePartition(options: Moving, place: Place): Promise<void> {
  const { signal, sender, keysAPass = KEYS_A_PASS } = options;
  const { topic, partition, from } = place;
  let old = new Map<string, LiveKey>();
  for await (const keys of sender.each(liveKeys(options, { topic, partition, to: from }, signal))) {
    for (const key of keys) {
      if (key.patients.length > 0 || key.leftPatients.length > 0 || place.type === 'Provenance')
        old.set(key.key, key);
    }
    if (old.size < keysAPass) continue;
    await completeKeys(options, place, old);
    old = new Map();
  }
  await completeKeys(options, place, old);
}

/** @param old taken from as their newest records are met */
async function completeKeys(options: Moving, place: Place, old: Map<string, LiveKey>): Promise<void> {
  if (old.size === 0) return;
  const { reader, sender, writer, decodeChange, point, signal } = options;
  for await (const batch of sender.each(reader.readBackward(place, signal))) {
    for (let i = batch.end - 1; i >= batch.begin; i--) {
      const key = batch.key(i).toString('utf8');
      const before = old.get(key);
      if (!before) continue;
      old.delete(key);
      const change = decodeChange(batch.data.subarray(batch.valueStart(i), batch.valueEnd(i)));
      const complete = afterReload(place.type, before, change);
      if (!complete) continue;
      const id = key.slice(place.type.length + 1);
      writer.write({ type: place.type, id, change: { ...complete, ...point }, problem: undefined });
    }
    await sender.sendWhenDue();
    if (old.size === 0) return;
  }
}
