import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import { HeadwaterError } from '../base/errors.ts';
import { MANY_PATIENTS } from '../events/resource-change.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import type { LogReader, RecordBatch } from '../log/log.ts';
import { newestFirst } from '../log/newest-first.ts';
import type { Visitor } from '../log/newest-first.ts';
import type { ChangePoint } from './change.ts';
import type { ChangeWriter } from './change-writer.ts';
import { named } from './read-row.ts';
import type { LogSender } from './log-sender.ts';
import type { ChangeCodec, ResourceLog } from './resource-log.ts';

/** A resource whose newest record in the log is no delete. */
export interface LiveKey {
  readonly key: string;
  readonly versionId: string | null;
  readonly patients: readonly string[];
  readonly leftPatients: readonly string[];
  /** The offset of its newest record. */
  readonly offset: Offset;
}

/**
 * Yields the live keys of one partition before `to`, newest first. A reload and a TRUNCATE need them to compare the log with the
 * source. Memory is bounded, see `newestFirst`. A corrupt record counts as alive: the delete that is written after it makes its
 * key readable again.
 */
export async function* liveKeys(
  log: {
    readonly reader: Pick<LogReader, 'readBackward'>;
    readonly changes: Pick<ChangeCodec, 'decode'>;
  },
  place: { readonly topic: string; readonly partition: number; readonly to: Offset },
  signal: AbortSignal,
): AsyncIterable<LiveKey[]> {
  const from = offset(0);
  let live: LiveKey[] = [];
  const visitor: Visitor = {
    visit(batch, i) {
      const value = batch.data.subarray(batch.valueStart(i), batch.valueEnd(i));
      const found = liveIn(() => log.changes.decode(value));
      if (found) live.push({ key: batch.key(i).toString('utf8'), offset: offset(batch.offset(i)), ...found });
      return 'skip';
    },
  };
  const open = (below: number): AsyncIterable<RecordBatch> =>
    log.reader.readBackward({ ...place, from, to: offset(Math.min(place.to, below)) }, signal);
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

/** Changes that are written at one point of the source. */
export interface Writing {
  readonly writer: ChangeWriter;
  readonly sender: LogSender;
  readonly point: ChangePoint;
}

/**
 * Writes a delete for the live keys of a type: for all of them, or for those that `isGhost` picks. Everything that was written before
 * must be committed, since the log is read.
 */
export async function deleteLive(
  log: Pick<ResourceLog, 'reader' | 'topics' | 'changes'>,
  { writer, sender, point }: Writing,
  keysOf: { readonly type: string; readonly isGhost?: (key: LiveKey, partition: number) => boolean },
  signal: AbortSignal,
): Promise<void> {
  const { type, isGhost } = keysOf;
  const topic = log.topics.topicOf(type);
  // The ends that the writer knows: a reader may not see the last commit yet and would treat its keys as deleted.
  for (const [partition, to] of writer.ends(type).entries()) {
    const live = liveKeys(log, { topic, partition, to: offset(to) }, signal);
    for await (const keys of sender.each(live)) {
      for (const key of keys) {
        if (isGhost && !isGhost(key, partition)) continue;
        const id = key.key.slice(type.length + 1);
        writer.write({ type, id, problem: undefined, change: deletionOf(key, point) });
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
