import pg from 'pg';
import { HeadwaterError } from '../base/errors.ts';
import { lsn, stamp } from '../base/positions.ts';
import type { Lsn } from '../base/positions.ts';
import { FLUSH_BYTES, TRANSACTION_BYTES } from './capture-options.ts';
import type { CaptureOptions } from './capture-options.ts';
import type { ChangePoint } from './change.ts';
import { loadedChange } from './change.ts';
import { ChangeWriter } from './change-writer.ts';
import type { CaptureLog } from './change-writer.ts';
import { CommandWriter } from './command-writer.ts';
import { copyRows } from './copy-rows.ts';
import { deleteLive } from './live-keys.ts';
import type { LiveKey } from './live-keys.ts';
import type { Position } from '../events/position.ts';
import type { StartMode } from './position.ts';
import { requestsBefore } from './requests.ts';
import { StampClock } from './stamp-clock.ts';

export interface LoadOptions extends CaptureOptions {
  readonly log: CaptureLog;
  readonly systemId: string;
  readonly stored: Position | undefined;
  readonly mode: Exclude<StartMode, 'stream'>;
  readonly signal: AbortSignal;
}

/**
 * Loads everything the source holds, as a new slot's snapshot shows it, and returns the position from which the slot's
 * stream goes on. A first load begins with emptied topics, so a key is met once; a reload adds to the log, and what the log
 * has and the source no longer has is deleted.
 * A crash: no position, or one of LSN 0, is stored until the end, so it is done again.
 */
export async function load(options: LoadOptions): Promise<Position> {
  const { source, log, mode, stored, systemId } = options;
  await source.dropSlot();
  if (mode === 'first-load') await options.topics.deleteAll();
  else
    await storePosition(options, {
      slot: source.slot,
      systemId,
      lsn: lsn(0n),
      stamp: stored?.stamp ?? stamp(0),
      types: stored?.types ?? [],
    });
  const writer = new ChangeWriter({
    ...options,
    encode: options.encodeChange,
    tellsZones: mode === 'first-load',
    totals: mode === 'reload' ? (stored?.types ?? []) : [],
  });
  for (const type of await options.topics.list()) await writer.prepare(type);
  const before = new Map(
    (await options.topics.list()).map((type) => [type, log.ends(options.topics.topicOf(type))]),
  );
  const slot = await source.createSlot();
  try {
    const client = await source.atSnapshot(slot.snapshot);
    try {
      const now = await databaseTime(client);
      const stamps = new StampClock(stored?.stamp ?? stamp(now));
      const point = { stamp: stamps.change(now), lsn: slot.consistentPoint };
      await copyAll(options, client, writer, point);
      if (mode === 'reload') await deleteGhosts(options, writer, before, point);
      writer.closeZones();
      await writeRequests(options, client, { writer, stamps, at: slot.consistentPoint, now });
      const position = {
        slot: source.slot,
        systemId,
        lsn: slot.consistentPoint,
        stamp: stamps.last,
        types: writer.totals(),
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

async function copyAll(
  options: LoadOptions,
  client: pg.Client,
  writer: ChangeWriter,
  point: ChangePoint,
): Promise<void> {
  const { log, source, signal, mode } = options;
  const operation = mode === 'first-load' ? 'snapshot' : 'update';
  const limits = { maxBytes: options.maxResourceBytes };
  const sender = new Sender(log);
  let resources = 0;
  let bytes = 0;
  for (const mapping of source.mapping) {
    for await (const rows of copyRows(client, mapping)) {
      signal.throwIfAborted();
      for (const row of rows) {
        if (!writer.ready(row.type)) await writer.prepare(row.type);
        const change = loadedChange(operation, row, point, limits);
        writer.write(change);
        bytes += change.change.body?.length ?? 0;
      }
      resources += rows.length;
      await sender.sendWhenFull();
      options.onLoad?.({ resources, bytes });
    }
  }
  await sender.finish();
  options.logger.info({ resources, bytes }, `${mode}: ${resources} resources`);
}

/** Sends while more is added: one flush or commit under way at a time. */
class Sender {
  readonly #log: CaptureLog;
  #sending: Promise<void> = Promise.resolve();
  #bytes = 0;

  constructor(log: CaptureLog) {
    this.#log = log;
  }

  async sendWhenFull(): Promise<void> {
    if (this.#log.pendingBytes < FLUSH_BYTES) return;
    await this.#sending;
    this.#bytes += this.#log.pendingBytes;
    if (this.#bytes >= TRANSACTION_BYTES) {
      this.#bytes = 0;
      this.#sending = this.#log.commit();
    } else {
      this.#sending = this.#log.flush();
    }
    this.#sending.catch(() => undefined); // the next send, or `finish`, throws it
  }

  async finish(): Promise<void> {
    await this.#sending;
    await this.#log.commit();
  }
}

/** A delete for every key whose newest record is older than the reload: the source did not show it. */
async function deleteGhosts(
  options: LoadOptions,
  writer: ChangeWriter,
  before: ReadonlyMap<string, readonly number[]>,
  point: ChangePoint,
): Promise<void> {
  for (const [type, ends] of before) {
    const isGhost = (key: LiveKey, partition: number): boolean => key.offset < (ends[partition] ?? 0);
    await deleteLive({ ...options, writer, type, point, isGhost });
  }
}

/** Requests whose messages the new slot cannot show. Their cut is the load itself. */
async function writeRequests(
  options: LoadOptions,
  client: pg.Client,
  made: { writer: ChangeWriter; stamps: StampClock; at: Lsn; now: number },
): Promise<void> {
  const { log, signal } = options;
  const { reader, commandsTopic: topic } = options;
  const known = new Set<string>();
  const starts = await reader.offsetsAt(topic, 0); // old commands are deleted, so the log need not begin at offset 0
  for (const [partition, to] of (await reader.ends(topic)).entries()) {
    const range = { topic, partition, from: starts[partition] ?? to, to };
    for await (const records of reader.read(range, signal))
      for (const { key } of records) known.add(key.toString());
  }
  const commands = new CommandWriter({
    log,
    writer: made.writer,
    stamps: made.stamps,
    topic,
    encode: options.encodeCommand,
  });
  const since = options.clock() - options.maxExportMs;
  for (const request of await requestsBefore(client, options.schema, { known, since })) {
    await commands.write(request, { lsn: made.at, commitTime: made.now }, () => log.flush());
  }
}

async function storePosition(options: LoadOptions, position: Position): Promise<void> {
  const { log, positions, clock } = options;
  log.add(positions.topic, {
    timestamp: clock(),
    key: Buffer.from(position.slot),
    value: positions.encode(position),
  });
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
