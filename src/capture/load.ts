import { messageForged } from '../audit/entries.ts';
import type { AuditEntry } from '../events/audit.ts';
import pg from 'pg';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import { lsn, stamp } from '../base/positions.ts';
import type { Epoch, Lsn } from '../base/positions.ts';
import type { Logger } from '../base/service.ts';
import type { RequestMessage } from '../events/commands.ts';
import { EMPTY_POSITION } from '../events/position.ts';
import type { Position } from '../events/position.ts';
import { ChangeDeriver } from './change-deriver.ts';
import { ChangeWriter } from './change-writer.ts';
import type { ChangeDestination } from './change-writer.ts';
import { CommandWriter } from './command-writer.ts';
import { copyRows } from './copy-rows.ts';
import { partitionsOf } from './catalog.ts';
import { dividedQueries, merged } from './load-ranges.ts';
import type { LoadPart } from './load-ranges.ts';
import type { SourceRow } from './presets/source-row.ts';
import { deleteLive } from './live-keys.ts';
import type { LiveKey, Writing } from './live-keys.ts';
import { LogSender } from './log-sender.ts';
import { writeMovedAway } from './moved-away.ts';
import { addPosition } from './position-keeper.ts';
import type { StartMode } from './position.ts';
import type { RowRules } from './read-row.ts';
import { commandKeys, requestsBefore } from './requests.ts';
import type { Requests } from './requests.ts';
import type { ResourceLog } from './resource-log.ts';
import type { Source } from './source.ts';
import { StampClock } from './stamp-clock.ts';

export interface LoadOptions {
  readonly source: Source;
  readonly destination: LoadDestination;
  readonly requests: Requests;
  readonly rows: RowRules;
  /** The connections that read a large table together. */
  readonly connections: number;
  /** Returns a random id. */
  readonly newId: () => string;
  readonly logger: Logger;
  /** Called while a load runs. */
  readonly onLoad?: ((progress: LoadProgress) => void) | undefined;
}

export interface LoadProgress {
  readonly resources: number;
  readonly bytes: number;
}

/** The position before the load, and the parts of the position after it that are known already. */
export interface LoadStart {
  readonly mode: Exclude<StartMode, 'stream'>;
  readonly stored: Position | undefined;
  readonly origin: Pick<Position, 'systemId' | 'timeline' | 'coverage'>;
}

type LoadDestination = ChangeDestination & { readonly resources: ResourceLog };

/** The ends of the partitions of each type's topic. */
type TypeEnds = ReadonlyMap<string, readonly number[]>;

/**
 * Loads every resource of the source, as the snapshot of a new slot shows it, and returns the position from which the slot's
 * stream continues. A first load begins with empty topics, so it meets each key once. A reload adds to the log, and deletes the
 * resources that the log has and the source no longer has.
 * A crash: the position says until the end that the load is pending, so it is repeated.
 */
export async function load(options: LoadOptions, start: LoadStart, signal: AbortSignal): Promise<Position> {
  const { source, destination } = options;
  const { mode, stored, origin } = start;
  const slotName = source.slot;
  const pending = { ...EMPTY_POSITION, ...stored, ...origin, slot: slotName, lsn: lsn(0n), pending: mode };
  const { reloads } = options.requests;
  if (mode === 'reload') await reloads.began();
  await storePosition(destination, pending);
  await source.dropSlot();
  if (mode === 'first-load') await destination.resources.topics.deleteAll();
  const slot = await source.createSlot();
  try {
    const client = await source.atSnapshot(slot.snapshot);
    const clients = [client];
    try {
      while (clients.length < options.connections) clients.push(await source.atSnapshot(slot.snapshot));
      const snapshot = { client, clients, lsn: slot.consistentPoint };
      const loaded = await loadAt(snapshot, options, start, signal);
      const position = { ...EMPTY_POSITION, ...origin, ...loaded, slot: slotName };
      if (mode === 'reload') await reloads.ends();
      await storePosition(destination, position);
      await reloads.none();
      return position;
    } finally {
      await Promise.all(clients.map((one) => one.end()));
    }
  } finally {
    await slot.release();
  }
}

/** The source as it was at one point of its log. */
interface Snapshot {
  readonly client: pg.Client;
  /** The same client and others, for parts of a table. */
  readonly clients: readonly pg.Client[];
  readonly lsn: Lsn;
}

async function loadAt(
  snapshot: Snapshot,
  options: LoadOptions,
  { mode, stored }: LoadStart,
  signal: AbortSignal,
): Promise<Omit<Position, 'slot' | 'systemId' | 'timeline' | 'coverage' | 'pending'>> {
  const { destination } = options;
  const { client, lsn: at } = snapshot;
  const now = await databaseTime(client);
  const stamps = new StampClock(stored?.stamp ?? stamp(now));
  const point = { stamp: stamps.change(now), lsn: at };
  const isReload = mode === 'reload';
  const epoch: Epoch = (isReload ? stored?.epoch : undefined) ?? { id: options.newId(), began: point.stamp };
  const reloaded = isReload ? point.stamp : undefined;
  const writer = new ChangeWriter(destination, {
    totals: isReload ? (stored?.types ?? []) : [],
    topicStates: [],
    epoch,
    reloaded,
    writesZones: !isReload,
  });
  const before = await endsBefore(destination.resources, writer);
  const sender = new LogSender(destination.log, { ready: () => undefined }); // capture is ready when it follows
  const writing = { writer, sender, point };
  await copyTables(options, snapshot, { ...writing, mode }, signal);
  if (isReload) {
    await deleteGhosts(destination.resources, writing, before, signal);
    await writeAllMovedAway(destination, writing, withInterrupted(before, stored), signal);
  }
  // Nothing is added while the requests are read, since that can take long.
  const requests = await unansweredRequests(options, client, signal);
  writer.closeZones();
  const commands = new CommandWriter(destination.log, writer, stamps, options.requests);
  // The load is their cut. The same commit stores the position, so a load that is repeated makes other cuts.
  for (const request of requests)
    await commands.write(request, { lsn: at, commitTime: now }, () => destination.log.flush());
  const [types, topics] = [writer.totals(), writer.topicStates()];
  return { lsn: at, stamp: stamps.last, epoch, reloaded, types, topics };
}

async function endsBefore({ topics }: ResourceLog, writer: ChangeWriter): Promise<TypeEnds> {
  const types = await topics.list();
  for (const type of types) await writer.prepare(type);
  return new Map(types.map((type) => [type, writer.ends(type)]));
}

async function copyTables(
  { source, destination, rows: rules, logger, onLoad }: LoadOptions,
  { client, clients }: Snapshot,
  { writer, sender, point, mode }: Writing & Pick<LoadStart, 'mode'>,
  signal: AbortSignal,
): Promise<void> {
  const operation = mode === 'first-load' ? 'snapshot' : 'update';
  const deriver = new ChangeDeriver(rules);
  let resources = 0;
  let bytes = 0;
  try {
    const catalog = await source.catalogOver(client);
    for (const query of source.preset.loads(catalog.followed)) {
      const parts = await dividedQueries(client, query, clients.length, partitionsOf(catalog, query.from));
      const waiting = parts.values();
      const readers = clients.slice(0, parts.length).map((one) => copyAll(one, waiting));
      for await (const rows of sender.each(merged(readers))) {
        signal.throwIfAborted();
        for (const row of rows) {
          if (row.deleted) continue;
          if (!writer.ready(row.type)) await sender.during(writer.prepare(row.type));
          const derived = deriver.derive({ of: 'load', operation, row, point });
          // To wait for each row, also where nothing is to be waited for, would cost more than to read many.
          for (const change of derived instanceof Promise ? await sender.during(derived) : derived) {
            writer.write(change);
            bytes += change.change.body?.length ?? 0;
          }
        }
        resources += rows.length;
        await sender.sendWhenDue();
        onLoad?.({ resources, bytes });
      }
    }
  } finally {
    await deriver.close();
  }
  await sender.commit(() => destination.log.commit());
  await sender.idle();
  logger.info({ resources, bytes }, `${mode}: ${resources} resources`);
}

/** Copies parts as long as any waits. Several connections share them. */
async function* copyAll(client: pg.Client, waiting: Iterable<LoadPart>): AsyncIterable<SourceRow[]> {
  for (const part of waiting) yield* copyRows(client, part);
}

/** Writes a delete for every key whose newest record is older than the reload: the source did not show it. */
async function deleteGhosts(
  resources: ResourceLog,
  writing: Writing,
  before: TypeEnds,
  signal: AbortSignal,
): Promise<void> {
  for (const [type, ends] of before) {
    const isGhost = (key: LiveKey, partition: number): boolean => key.offset < (ends[partition] ?? 0);
    await deleteLive(resources, writing, { type, isGhost }, signal);
  }
}

/** If a reload was interrupted, the ends before it count, since no cut lies in between and it may have written records. */
function withInterrupted(before: TypeEnds, stored: Position | undefined): TypeEnds {
  const interrupted = stored?.pending === 'reload' ? stored.topics : [];
  return new Map([...before, ...interrupted.map(({ type, ends }) => [type, ends] as const)]);
}

async function writeAllMovedAway(
  { log, resources }: LoadDestination,
  writing: Writing,
  earlier: TypeEnds,
  signal: AbortSignal,
): Promise<void> {
  const { writer, sender } = writing;
  await sender.commit(() => log.commit());
  await sender.idle();
  const now = new Map([...earlier.keys()].map((type) => [type, writer.ends(type)]));
  for (const [type, before] of earlier)
    await writeMovedAway(resources, writing, { type, before, ends: now.get(type) ?? [] }, signal);
}

/** Returns the requests whose messages the new slot cannot show. */
async function unansweredRequests(
  { destination, requests, logger }: LoadOptions,
  client: pg.Client,
  signal: AbortSignal,
): Promise<RequestMessage[]> {
  const known = await commandKeys(destination.resources.reader, requests.topic, signal);
  const since = destination.clock() - requests.maxExportMs;
  const forged: AuditEntry[] = [];
  const refuse = (jobId: string, error: unknown): void => {
    logger.error({ jobId }, `the request of export ${jobId} is left out: ${messageOf(error)}`);
    forged.push(messageForged(`row ${jobId}`, messageOf(error), jobId));
  };
  const found = await requestsBefore(client, requests, { known, since, refuse });
  for (const entry of forged) await requests.audit.record(entry);
  return found;
}

async function storePosition(destination: LoadDestination, position: Position): Promise<void> {
  addPosition(destination, position);
  await destination.log.commit();
}

/** The source's clock, in ms since 1970. */
async function databaseTime(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ now: string }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now',
  );
  const now = Number(rows[0]?.now);
  if (!Number.isSafeInteger(now))
    throw new HeadwaterError('internal', 'the source database does not tell the time');
  return now;
}
