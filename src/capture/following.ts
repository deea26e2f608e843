import { HeadwaterError, messageOf } from '../base/errors.ts';
import { lsn, stamp } from '../base/positions.ts';
import type { Lsn, Stamp } from '../base/positions.ts';
import type { RequestMessage } from '../events/commands.ts';
import type { CaptureLog } from './change-writer.ts';
import { ChangeWriter } from './change-writer.ts';
import type { CaptureOptions } from './capture-options.ts';
import { ChangeDeriver } from './change-deriver.ts';
import { CommandWriter } from './command-writer.ts';
import { ConfirmedPosition } from './confirmed-position.ts';
import { CoverageWatch } from './coverage-watch.ts';
import { deleteLive } from './live-keys.ts';
import { LogSender } from './log-sender.ts';
import type { Relation, Tuple, WalMessage } from './pgoutput.ts';
import type { Position } from '../events/position.ts';
import { positionRecord } from './position.ts';
import { ReplicationStream } from './replication-stream.ts';
import { probeWal } from './wal-probe.ts';
import { gapOf, RowReader } from './source-mapping.ts';
import { StampClock } from './stamp-clock.ts';

/** An idle database's log is let go this often at most, in ms. */
const IDLE_INTERVAL = 10_000;

/** The stream followed from a stored position, until the signal fires or something breaks. */
export class Following {
  readonly #options: CaptureOptions;
  readonly #log: CaptureLog;
  readonly #writer: ChangeWriter;
  readonly #commands: CommandWriter;
  readonly #stamps: StampClock;
  readonly #confirmed: ConfirmedPosition;
  readonly #start: Position;
  readonly #rows = new Map<number, RowReader | null>();
  readonly #sender: LogSender;
  readonly #deriver: ChangeDeriver;
  readonly #watch: CoverageWatch;
  #handedOver: Lsn;
  #requests: RequestMessage[] = [];
  #transaction: { readonly lsn: Lsn; readonly time: number; readonly stamp: Stamp; readonly skip: boolean };
  #idleStoredAt = 0;
  /** Where the source's log ended at the first probe. */
  #firstEnd: Lsn | undefined;

  constructor(options: CaptureOptions, log: CaptureLog, start: Position) {
    this.#options = options;
    this.#log = log;
    this.#sender = new LogSender(log, options.health, () => this.#commitPart());
    this.#deriver = new ChangeDeriver(options.rows);
    this.#start = start;
    this.#stamps = new StampClock(start.stamp);
    this.#confirmed = new ConfirmedPosition(start.lsn);
    this.#handedOver = start.lsn;
    this.#transaction = { lsn: start.lsn, time: 0, stamp: start.stamp, skip: true };
    this.#writer = new ChangeWriter({
      ...options,
      log,
      encode: options.encodeChange,
      tellsZones: true,
      totals: start.types,
      topicStates: start.topics,
      epoch: start.epoch ?? { id: '', began: stamp(0) },
      reloaded: start.reloaded,
    });
    this.#watch = new CoverageWatch({
      source: options.source,
      start,
      identities: options.topics.identities,
      topics: () => this.#writer.topicStates(),
    });
    this.#commands = new CommandWriter({
      log,
      writer: this.#writer,
      stamps: this.#stamps,
      topic: options.commandsTopic,
      encode: options.encodeCommand,
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { source, topics } = this.#options;
    const types = new Set([...(await topics.list()), ...this.#start.topics.map(({ type }) => type)]);
    for (const type of types) if (!this.#writer.ready(type)) await this.#writer.prepare(type);
    const stop = new AbortController();
    const { broken } = this.#sender;
    let stream: ReplicationStream | undefined;
    let probing: Promise<void> | undefined;
    try {
      await this.#sender.during(this.#watch.verify());
      const { slot, publication } = source;
      const { lsn: from, timeline } = this.#start;
      stream = await ReplicationStream.start(source.url, { slot, publication, from, timeline });
      const uncovered = this.#watch.run(AbortSignal.any([signal, stop.signal]));
      uncovered.catch((error: unknown) => stop.abort(error));
      const { lag } = this.#options.metrics;
      probing = probeWal(source, { lag, onProbe: (end) => this.#probed(end, stream) }, stop.signal);
      const either = AbortSignal.any([signal, broken, stop.signal]);
      while (!signal.aborted) {
        for (const event of await this.#sender.during(stream.take(either))) {
          if (event.kind === 'advanced') this.#advance(event.position);
          else await this.#receive(event.message, signal);
        }
        stop.signal.throwIfAborted();
        await this.#store(stream);
      }
    } catch (error) {
      if (broken.aborted) throw broken.reason;
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      stop.abort();
      await this.#sender.idle().catch(() => undefined);
      await stream?.close();
      await Promise.all([this.#watch.close(), probing, this.#deriver.close()]);
    }
  }

  async #receive(message: WalMessage, signal: AbortSignal): Promise<void> {
    if (message.kind === 'begin') return this.#begin(message.commitLsn, message.commitTime);
    if (message.kind === 'relation') return this.#describe(message.relation);
    if (message.kind === 'commit') return this.#end(message.endLsn);
    if (this.#transaction.skip) return;
    switch (message.kind) {
      case 'insert':
        return this.#change(message.oid, undefined, message.row);
      case 'update':
        return this.#change(message.oid, message.old, message.row);
      case 'delete':
        return this.#change(message.oid, message.old, undefined);
      case 'truncate':
        return this.#truncate(message.oids, signal);
      case 'message':
        if (message.transactional && message.prefix === this.#options.messagePrefix)
          this.#request(message.content);
    }
  }

  #begin(commitLsn: Lsn, time: number): void {
    const skip = commitLsn < this.#start.lsn;
    this.#confirmed.transactionBegan();
    this.#requests = [];
    const stamp = skip ? this.#stamps.last : this.#stamps.change(time);
    this.#transaction = { lsn: commitLsn, time, stamp, skip };
    if (!skip) this.#options.metrics.lag.transactionBegan(time);
  }

  #advance(position: Lsn): void {
    this.#confirmed.advancedTo(position);
    const covered = this.#confirmed.idleAdvance();
    if (covered !== undefined) this.#options.metrics.lag.covered(covered);
  }

  /** Tables are known by their object ids: a name may be another table's now. */
  async #describe(relation: Relation): Promise<void> {
    const { oid, schema, table } = relation;
    const mapping = this.#watch.mappingOf(oid);
    const named = this.#options.source.mapping.some((m) => m.schema === schema && m.table === table);
    if (!mapping && named)
      await this.#giveUpStream(`${schema}.${table} in the stream is another table than the one followed`);
    const gap = mapping && gapOf(relation, mapping);
    if (gap !== undefined) await this.#giveUpStream(gap);
    this.#rows.set(oid, mapping ? new RowReader(relation, mapping) : null);
  }

  /** What the source's log lacks is nowhere: only a reload is exact. */
  async #giveUpStream(gap: string): Promise<never> {
    this.#addPosition(lsn(0n));
    await this.#sender.commit(() => this.#log.commit());
    await this.#sender.idle();
    throw new HeadwaterError('unavailable', `${gap}; everything is loaded again`);
  }

  async #change(oid: number, old: Tuple | undefined, row: Tuple | undefined): Promise<void> {
    const reader = this.#rows.get(oid);
    if (!reader) return;
    const { stamp, lsn: at } = this.#transaction;
    const changes = this.#deriver.derive({
      of: 'change',
      old: old && reader.read(old),
      row: row && reader.read(row),
      point: { stamp, lsn: at },
    });
    for (const change of await this.#sender.during(changes)) {
      if (!this.#writer.ready(change.type)) await this.#sender.during(this.#writer.prepare(change.type));
      this.#writer.write(change);
    }
    return this.#sender.sendWhenDue();
  }

  #request(content: Buffer): void {
    try {
      this.#requests.push(this.#options.parseRequest(content));
    } catch (error) {
      this.#options.logger.error(
        { err: error },
        `a message of our prefix is no request and is left out: ${messageOf(error)}`,
      );
    }
  }

  /** The log's readers cannot see what this transaction did so far, so it is committed first (in part, which is harmless). */
  async #truncate(oids: readonly number[], signal: AbortSignal): Promise<void> {
    const truncated = oids.flatMap((oid) => this.#rows.get(oid)?.mapping ?? []);
    if (truncated.length === 0) return;
    await this.#sender.commit(() => this.#commitPart());
    await this.#sender.idle();
    const { stamp, lsn: at } = this.#transaction;
    for (const mapping of truncated) {
      const types = 'constant' in mapping.type ? [mapping.type.constant] : await this.#options.topics.list();
      for (const type of types)
        await deleteLive({
          ...this.#options,
          log: this.#log,
          sender: this.#sender,
          writer: this.#writer,
          type,
          point: { stamp, lsn: at },
          signal,
        });
    }
  }

  async #end(endLsn: Lsn): Promise<void> {
    const { lsn: at, time, skip } = this.#transaction;
    if (!skip) {
      if (this.#requests.some(({ kind }) => kind === 'ExportRequested'))
        await this.#sender.during(this.#watch.verify());
      for (const request of this.#requests) {
        await this.#commands.write(request, { lsn: at, commitTime: time }, () => this.#sender.flush());
      }
      this.#options.metrics.reached(endLsn);
      this.#options.metrics.lag.transactionEnded();
    }
    this.#confirmed.transactionEnded(endLsn);
  }

  /** Between source transactions: commits what was received, many small ones together when they come fast. */
  async #store(stream: ReplicationStream): Promise<void> {
    if (this.#confirmed.inTransaction) return;
    let reached: Lsn | undefined = this.#confirmed.reached;
    if (reached <= this.#handedOver) {
      const idle = this.#confirmed.idleAdvance();
      this.#tellIdle();
      if (idle === undefined || this.#options.clock() - this.#idleStoredAt < IDLE_INTERVAL) return;
      reached = idle;
    }
    const position = reached;
    await this.#sender.commit(async () => {
      this.#idleStoredAt = this.#options.clock();
      await this.#commit(position);
      stream.confirm(position);
    });
  }

  #probed(end: Lsn, stream: ReplicationStream | undefined): void {
    this.#firstEnd ??= end;
    stream?.askPosition();
  }

  /** Capture is ready when the log has stored something, or when all that was there at the start left nothing to store. */
  #tellIdle(): void {
    const sent = this.#firstEnd !== undefined && this.#confirmed.advanced >= this.#firstEnd;
    if (sent && !this.#sender.busy) this.#options.health.ready();
  }

  /**
   * Commits in the middle of a source transaction. The transactions before it, which may be in the same commit, are not to be
   * repeated with it after a crash: a request among them would get a second cut, and behind records of this one.
   */
  #commitPart(): Promise<void> {
    const { reached } = this.#confirmed;
    return reached > this.#handedOver ? this.#commit(reached) : this.#log.commit();
  }

  async #commit(position: Lsn): Promise<void> {
    this.#handedOver = position;
    this.#addPosition(position);
    this.#options.metrics.lag.handedOver();
    await this.#log.commit();
    this.#confirmed.committed(position);
    this.#options.metrics.lag.stored(this.#confirmed.idleAdvance() ?? position);
  }

  #addPosition(reached: Lsn): void {
    const { positions, clock } = this.#options;
    const position: Position = {
      ...this.#start,
      coverage: this.#watch.proved,
      lsn: reached,
      stamp: this.#stamps.last,
      types: this.#writer.totals(),
      topics: this.#writer.topicStates(),
    };
    this.#log.add(positions.topic, positionRecord(positions, position, clock()));
  }
}
