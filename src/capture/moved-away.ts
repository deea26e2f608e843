import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import { isCompartmentType } from '../fhir/patient-compartment.ts';
import { afterReload } from './change.ts';
import { liveKeys } from './live-keys.ts';
import type { LiveKey, Writing } from './live-keys.ts';
import type { LogSender } from './log-sender.ts';
import type { ResourceLog } from './resource-log.ts';

const KEYS_A_PASS = 200_000;

/** A partition with the offsets between which the reload wrote to it. */
interface Place {
  readonly type: string;
  readonly topic: string;
  readonly partition: number;
  readonly from: Offset;
  readonly to: Offset;
}

/**
 * Completes the records that a reload wrote to the topic of a type. A reload knows only the new row, so its records do not name the
 * patients whose compartment a resource has left meanwhile. The records of such resources are written again with these patients, as
 * the stream would have written them. So the log keeps them when the versions from before the reload are compacted away.
 * @param before the ends of the partitions before the reload
 * @param ends the ends of the partitions now; everything before them is committed
 * @param keysAPass number of old versions in memory; more of them need further passes over the records of the reload
 */
export async function writeMovedAway(
  log: Pick<ResourceLog, 'reader' | 'topics' | 'changes'>,
  writing: Writing,
  written: {
    readonly type: string;
    readonly before: readonly number[];
    readonly ends: readonly number[];
    readonly keysAPass?: number;
  },
  signal: AbortSignal,
): Promise<void> {
  const { type, before, ends, keysAPass = KEYS_A_PASS } = written;
  if (!isCompartmentType(type)) return;
  const topic = log.topics.topicOf(type);
  for (const [partition, end] of ends.entries()) {
    const place = { type, topic, partition, from: offset(before[partition] ?? 0), to: offset(end) };
    if (place.to <= place.from) continue;
    for await (const old of oldVersions(log, writing.sender, { ...place, keysAPass }, signal))
      await completeKeys(log, writing, { ...place, old }, signal);
  }
  await writing.sender.flush();
}

/** Yields the versions from before the reload that name patients, `keysAPass` at a time. */
async function* oldVersions(
  log: Pick<ResourceLog, 'reader' | 'changes'>,
  sender: LogSender,
  { type, topic, partition, from, keysAPass }: Place & { readonly keysAPass: number },
  signal: AbortSignal,
): AsyncIterable<Map<string, LiveKey>> {
  let old = new Map<string, LiveKey>();
  for await (const keys of sender.each(liveKeys(log, { topic, partition, to: from }, signal))) {
    for (const key of keys) {
      if (key.patients.length > 0 || key.leftPatients.length > 0 || type === 'Provenance')
        old.set(key.key, key);
    }
    if (old.size < keysAPass) continue;
    yield old;
    old = new Map();
  }
  if (old.size > 0) yield old;
}

/** @param old each is removed when its newest record is met */
async function completeKeys(
  { reader, changes }: Pick<ResourceLog, 'reader' | 'changes'>,
  { writer, sender, point }: Writing,
  place: Place & { readonly old: Map<string, LiveKey> },
  signal: AbortSignal,
): Promise<void> {
  const { type, old } = place;
  for await (const batch of sender.each(reader.readBackward(place, signal))) {
    for (let i = batch.end - 1; i >= batch.begin; i--) {
      const key = batch.key(i).toString('utf8');
      const before = old.get(key);
      if (!before) continue;
      old.delete(key);
      const change = changes.decode(batch.data.subarray(batch.valueStart(i), batch.valueEnd(i)));
      const complete = afterReload(type, before, change);
      if (!complete) continue;
      const id = key.slice(type.length + 1);
      writer.write({ type, id, change: { ...complete, ...point }, problem: undefined });
    }
    await sender.sendWhenDue();
    if (old.size === 0) return;
  }
}
