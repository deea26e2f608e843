import pg from 'pg';
import { HeadwaterError } from '../base/errors.ts';
import { lsn, stamp } from '../base/positions.ts';
import type { Epoch, Lsn } from '../base/positions.ts';
import type { CaptureOptions } from './capture-options.ts';
import type { ChangePoint } from './change.ts';
import { ChangeDeriver } from './change-deriver.ts';
import { ChangeWriter } from './change-writer.ts';
import type { CaptureLog } from './change-writer.ts';
import { CommandWriter } from './command-writer.ts';
import { copyRows } from './copy-rows.ts';
import { deleteLive } from './live-keys.ts';
import type { LiveKey } from './live-keys.ts';
import { LogSender } from './log-sender.ts';
import { writeMovedAway } from './moved-away.ts';
import type { RequestMessage } from '../events/commands.ts';
import { EMPTY_POSITION } from '../events/position.ts';
import type { Position } from '../events/position.ts';
import { positionRecord } from './position.ts';
import type { StartMode } from './position.ts';
import { requestsBefore } from './requests.ts';
import { StampClock } from './stamp-clock.ts';

export interface LoadOptions extends CaptureOptions {
  readonly log: CaptureLog;
  /** What the position will say of the source. */
  readonly origin: Pick<Position, 'systemId' | 'timeline' | 'coverage'>;
  readonly stored: Position | undefined;
  readonly mode: Exclude<StartMode, 'stream'>;
  readonly signal: AbortSignal;
}

/**
 * Loads everything the source holds, as a new slot's snapshot shows it, and returns the position from which the slot's
 * stream goes on. A first load begins with emptied topics, so a key is met once; a reload adds to the log, and what the log
 * has and the source no longer has is deleted.
 * A crash: the position names the load as pending until the end, so it is done again.
 */
export async function load(options: LoadOptions): Promise<Position> {
  const { source, log, mode, stored, origin } = options;
  await storePosition(options, {
    ...EMPTY_POSITION,
    ...stored,
    ...origin,
    slot: source.slot,
    lsn: lsn(0n),
    pending: mode,
  });
  await source.dropSlot();
  if (mode === 'first-load') await options.topics.deleteAll();
  const slot = await source.createSlot();
  try {
    const client = await source.atSnapshot(slot.snapshot);
    try {
      const now = await databaseTime(client);
      const stamps = new StampClock(stored?.stamp ?? stamp(now));
      const point = { stamp: stamps.change(now), lsn: slot.consistentPoint };
      const epoch = epochOf(options, point);
      const reloaded = mode === 'reload' ? point.stamp : undefined;
      const writer = new ChangeWriter({
        ...options,
        encode: options.encodeChange,
        tellsZones: mode === 'first-load',
        totals: mode === 'reload' ? (stored?.types ?? []) : [],
        epoch,
        topicStates: [],
        reloaded,
      });
      const before = await endsBefore(options, writer);
      const sender = new LogSender(log, { ready: () => undefined }); // capture is ready when it follows
      const loading = { ...options, writer, sender, point };
      await copyAll(loading, client);
      if (mode === 'reload') {
        await deleteGhosts(loading, before);
        await writeAllMovedAway(loading, before);
      }
      const requests = await unansweredRequests(options, client); // read before anything is added: it can take long
      writer.closeZones();
      await writeRequests(options, requests, { writer, stamps, at: slot.consistentPoint, now });
      const position: Position = {
        ...EMPTY_POSITION,
        ...origin,
        slot: source.slot,
        lsn: slot.consistentPoint,
        stamp: stamps.last,
        epoch,
        reloaded,
        types: writer.totals(),
        topics: writer.topicStates(),
      };
      await storePosition(options, position);
      return position;
    } finally {
      await client.end();
    }
  } finally {
    await slot.release();
  }
}

/** A first load begins an epoch; a reload goes on with the one there is. */
function epochOf({ mode, stored, newId }: LoadOptions, point: ChangePoint): Epoch {
  return (mode === 'reload' ? stored?.epoch : undefined) ?? { id: newId(), began: point.stamp };
}

/** Where the topics of each type end before anything is written. */
async function endsBefore(
  { log, topics }: LoadOptions,
  writer: ChangeWriter,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const types = await topics.list();
  for (const type of types) await writer.prepare(type);
  return new Map(types.map((type) => [type, log.ends(topics.topicOf(type))]));
}

/** A load with what it writes through. */
interface Loading extends LoadOptions {
  readonly writer: ChangeWriter;
  readonly sender: LogSender;
  readonly point: ChangePoint;
}

async function copyAll(options: Loading, client: pg.Client): Promise<void> {
  const deriver = new ChangeDeriver(options.rows);
  try {
    await copyTables(options, client, deriver);
  } finally {
    await deriver.close();
  }
}

async function copyTables(options: Loading, client: pg.Client, deriver: ChangeDeriver): Promise<void> {
  const { source, signal, mode, writer, sender, point } = options;
  const operation = mode === 'first-load' ? 'snapshot' : 'update';
  let resources = 0;
  let bytes = 0;
  for (const mapping of source.mapping) {
    for await (const rows of sender.each(copyRows(client, mapping))) {
      signal.throwIfAborted();
      for (const row of rows) {
        if (!writer.ready(row.type)) await sender.during(writer.prepare(row.type));
        for (const change of await sender.during(deriver.derive({ of: 'load', operation, row, point }))) {
          writer.write(change);
          bytes += change.change.body?.length ?? 0;
        }
      }
      resources += rows.length;
      await sender.sendWhenDue();
      options.onLoad?.({ resources, bytes });
    }
  }
  await sender.commit(() => options.log.commit());
  await sender.idle();
  options.logger.info({ resources, bytes }, `${mode}: ${resources} resources`);
}

/** A delete for every key whose newest record is older than the reload: the source did not show it. */
async function deleteGhosts(options: Loading, before: ReadonlyMap<string, readonly number[]>): Promise<void> {
  for (const [type, ends] of before) {
    const isGhost = (key: LiveKey, partition: number): boolean => key.offset < (ends[partition] ?? 0);
    await deleteLive({ ...options, type, isGhost });
  }
}

/** An interrupted reload may have written as well: then the ends before it count, since no cut lies in between. */
async function writeAllMovedAway(
  options: Loading,
  before: ReadonlyMap<string, readonly number[]>,
): Promise<void> {
  const { stored, sender, log, topics } = options;
  const interrupted = stored?.pending === 'reload' ? stored.topics : [];
  const earlier = new Map([...before, ...interrupted.map(({ type, ends }) => [type, ends] as const)]);
  await sender.commit(() => log.commit());
  await sender.idle();
  const now = new Map([...earlier.keys()].map((type) => [type, log.ends(topics.topicOf(type))]));
  for (const [type, ends] of earlier)
    await writeMovedAway(options, type, { before: ends, ends: now.get(type) ?? [] });
}

/** Requests whose messages the new slot cannot show. */
async function unansweredRequests(options: LoadOptions, client: pg.Client): Promise<RequestMessage[]> {
  const { reader, commandsTopic: topic, signal } = options;
  const known = new Set<string>();
  const starts = await reader.offsetsAt(topic, 0); // old commands are deleted, so the log need not begin at offset 0
  for (const [partition, to] of (await reader.ends(topic)).entries()) {
    const range = { topic, partition, from: starts[partition] ?? to, to };
    for await (const records of reader.read(range, signal))
      for (const { key } of records) known.add(key.toString());
  }
  const since = options.clock() - options.maxExportMs;
  return requestsBefore(client, options.schema, { known, since });
}

/** Their cut is the load itself. They are committed with its position: a load that is done again makes other cuts. */
async function writeRequests(
  options: LoadOptions,
  requests: readonly RequestMessage[],
  made: { writer: ChangeWriter; stamps: StampClock; at: Lsn; now: number },
): Promise<void> {
  const { log, commandsTopic: topic, encodeCommand: encode } = options;
  const commands = new CommandWriter({ log, writer: made.writer, stamps: made.stamps, topic, encode });
  for (const request of requests) {
    await commands.write(request, { lsn: made.at, commitTime: made.now }, () => log.flush());
  }
}

async function storePosition({ log, positions, clock }: LoadOptions, position: Position): Promise<void> {
  log.add(positions.topic, positionRecord(positions, position, clock()));
  await log.commit();
}

async function databaseTime(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ now: string }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now',
  );
  const now = Number(rows[0]?.now);
  if (!Number.isSafeInteger(now))
    throw new HeadwaterError('internal', 'the source database does not tell the time');
  return now;
}
