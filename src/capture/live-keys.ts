import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import { HeadwaterError } from '../base/errors.ts';
import { MANY_PATIENTS } from '../events/resource-change.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import type { LogReader, RecordBatch } from '../log/log.ts';
import { newestFirst } from '../log/newest-first.ts';
import type { Visitor } from '../log/newest-first.ts';
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
  readonly leftPatients: readonly string[];
  /** Of its newest record. */
  readonly offset: Offset;
}

/**
 * The live keys of one partition before `to`, newest first. For the two occasions when the log is compared with the source:
 * a reload and a TRUNCATE. Memory is bounded, see `newestFirst`. A record that cannot be read counts as alive, so that the delete
 * after it makes the key readable again.
 */
export async function* liveKeys(
  source: {
    readonly reader: Pick<LogReader, 'readBackward'>;
    readonly decodeChange: (value: Buffer) => ResourceChange;
  },
  place: { readonly topic: string; readonly partition: number; readonly to: Offset },
  signal: AbortSignal,
): AsyncIterable<LiveKey[]> {
  const from = offset(0);
  let live: LiveKey[] = [];
  const visitor: Visitor = {
    visit(batch, i) {
      const value = batch.data.subarray(batch.valueStart(i), batch.valueEnd(i));
      const found = liveIn(() => source.decodeChange(value));
      if (found) live.push({ key: batch.key(i).toString('utf8'), offset: offset(batch.offset(i)), ...found });
      return 'skip';
    },
  };
  const open = (below: number): AsyncIterable<RecordBatch> =>
    source.reader.readBackward({ ...place, from, to: offset(Math.min(place.to, below)) }, signal);
  for await (const _ of newestFirst({ open, from, visitor })) {
    if (live.length > 0) yield live;
    live = [];
  }
}

type Known = Omit<LiveKey, 'key' | 'offset'>;

function liveIn(decode: () => ResourceChange): Known | undefined {
  try {
    const { operation, versionId, patients, leftPatients } = decode();
    return operation === 'delete' ? undefined : { versionId, patients, leftPatients };
  } catch (error) {
    if (error instanceof HeadwaterError && error.code === 'corrupt')
      return { versionId: null, patients: [MANY_PATIENTS], leftPatients: [] };
    throw error;
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
