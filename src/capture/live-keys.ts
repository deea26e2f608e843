import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import type { LogReader } from '../log/log.ts';
import type { CaptureOptions } from './capture-options.ts';
import type { ChangePoint } from './change.ts';
import type { CaptureLog, ChangeWriter } from './change-writer.ts';
import { named } from './read-row.ts';
import type { LogSender } from './log-sender.ts';

/** A resource that is in the log and, by the log, not deleted. */
export interface LiveKey {
  readonly key: string;
  readonly versionId: string | null;
  readonly patients: readonly string[];
  /** Of its newest record. */
  readonly offset: Offset;
}

/**
 * The live keys of one partition before `to`, newest first. For the two occasions when the log is held against the source:
 * a reload and a TRUNCATE. Memory: the keys of one partition.
 */
export async function* liveKeys(
  source: { readonly reader: LogReader; readonly decodeChange: (value: Buffer) => ResourceChange },
  place: { readonly topic: string; readonly partition: number; readonly to: Offset },
  signal: AbortSignal,
): AsyncIterable<LiveKey[]> {
  const met = new Set<string>();
  for await (const batch of source.reader.readBackward({ ...place, from: offset(0) }, signal)) {
    const live: LiveKey[] = [];
    for (let i = batch.end - 1; i >= batch.begin; i--) {
      const text = batch.keyText(i);
      if (met.has(text)) continue;
      met.add(text);
      const change = source.decodeChange(batch.data.subarray(batch.valueStart(i), batch.valueEnd(i)));
      if (change.operation === 'delete') continue;
      const { versionId, patients } = change;
      live.push({ key: batch.key(i).toString('utf8'), versionId, patients, offset: offset(batch.offset(i)) });
    }
    if (live.length > 0) yield live;
  }
}

/** After a commit: writes a delete for the live keys of a type; all of them, or those that `isGhost` picks. */
export async function deleteLive(
  options: Pick<CaptureOptions, 'reader' | 'topics' | 'decodeChange'> & {
    readonly log: CaptureLog;
    readonly sender: LogSender;
    readonly signal: AbortSignal;
    readonly writer: ChangeWriter;
    readonly type: string;
    readonly point: ChangePoint;
    readonly isGhost?: (key: LiveKey, partition: number) => boolean;
  },
): Promise<void> {
  const { topics, log, sender, writer, type, point, signal } = options;
  const topic = topics.topicOf(type);
  // The log's own ends: to a reader the last commit may not be decided yet, and what it lacks would be taken for gone.
  for (const [partition, to] of log.ends(topic).entries()) {
    const live = liveKeys(options, { topic, partition, to: offset(to) }, signal);
    for await (const keys of sender.each(live)) {
      for (const key of keys) {
        if (options.isGhost && !options.isGhost(key, partition)) continue;
        writer.write({
          type,
          id: key.key.slice(type.length + 1),
          problem: undefined,
          change: deletionOf(key, point),
        });
      }
      await sender.sendWhenDue();
    }
  }
  await sender.flush();
}

function deletionOf(key: LiveKey, point: ChangePoint) {
  const { versionId, patients } = key;
  return {
    operation: 'delete',
    ...point,
    versionId,
    lastUpdated: null,
    oversizeBytes: null,
    problem: null,
    patients: named(new Set(patients)),
    leftPatients: [],
    body: null,
  } as const;
}
