import { forgedAt, messageForged } from '../audit/entries.ts';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import type { Lsn, Stamp } from '../base/positions.ts';
import type { Logger } from '../base/service.ts';
import type { RequestMessage } from '../events/commands.ts';
import { parseRequestMessage } from '../events/request-message.ts';
import type { ChangeDeriver } from './change-deriver.ts';
import type { CaptureMetrics, ChangeWriter } from './change-writer.ts';
import type { CommandWriter } from './command-writer.ts';
import type { CoverageWatch } from './coverage-watch.ts';
import { deleteLive } from './live-keys.ts';
import type { LogSender } from './log-sender.ts';
import type { Relation, Tuple, WalMessage } from './pgoutput.ts';
import type { SourceLookup } from './source-lookup.ts';
import type { PositionKeeper } from './position-keeper.ts';
import type { Requests } from './requests.ts';
import type { ResourceLog } from './resource-log.ts';
import type { FollowedTable, Lookup, RowChange, TransactionFold } from './presets/preset.ts';
import type { StampClock } from './stamp-clock.ts';

/** A fold that holds more bytes of a transaction has to give up what it has. */
const MAX_HELD = 64 << 20;

/** The parts that a received message passes through. */
export interface ReceiverParts {
  readonly fold: TransactionFold;
  readonly lookups: SourceLookup;
  readonly resources: Pick<ResourceLog, 'reader' | 'topics' | 'changes'>;
  readonly requests: Pick<Requests, 'messagePrefix' | 'seal' | 'audit'>;
  readonly watch: CoverageWatch;
  readonly deriver: ChangeDeriver;
  readonly stamps: StampClock;
  readonly writer: ChangeWriter;
  readonly commands: CommandWriter;
  readonly sender: LogSender;
  readonly keeper: PositionKeeper;
  readonly metrics: CaptureMetrics;
  readonly logger: Logger;
}

type BeginMessage = Extract<WalMessage, { kind: 'begin' }>;

/** Turns the messages of source transactions into changes and commands, in the order of the stream. */
export class TransactionReceiver {
  readonly #parts: ReceiverParts;
  /** The stream repeats the transactions that were committed before this position. */
  readonly #start: Lsn;
  /** Followed tables by object id. */
  readonly #tables = new Map<number, FollowedTable>();
  /** The partitioned table that was described last, if nothing was since. */
  #partitioned: number | undefined;
  #requests: RequestMessage[] = [];
  /** Why messages of this transaction are no requests. */
  #refused: string[] = [];
  #transaction: {
    readonly lsn: Lsn;
    readonly time: number;
    readonly stamp: Stamp;
    readonly skip: boolean;
    /** Sees the transaction. */
    readonly lookup: Lookup;
  };

  constructor(parts: ReceiverParts, start: Lsn) {
    this.#parts = parts;
    this.#start = start;
    const lookup: Lookup = () => Promise.resolve([]);
    this.#transaction = { lsn: start, time: 0, stamp: parts.stamps.last, skip: true, lookup };
  }

  async receive(message: WalMessage, signal: AbortSignal): Promise<void> {
    if (message.kind === 'relation') return this.#describe(message.relation);
    this.#partitioned = undefined;
    if (message.kind === 'begin') return this.#begin(message, signal);
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
        if (message.transactional && message.prefix === this.#parts.requests.messagePrefix)
          this.#request(message.content);
    }
  }

  #begin({ commitLsn, commitTime: time, xid }: BeginMessage, signal: AbortSignal): void {
    const { keeper, stamps, metrics, lookups } = this.#parts;
    const skip = commitLsn < this.#start;
    keeper.transactionBegan();
    this.#requests = [];
    this.#refused = [];
    const stamp = skip ? stamps.last : stamps.change(time);
    this.#transaction = { lsn: commitLsn, time, stamp, skip, lookup: lookups.after(xid, signal) };
    if (!skip) metrics.lag.transactionBegan(time);
  }

  /** Finds a table by its object id, because another table may have its name now. */
  async #describe(relation: Relation): Promise<void> {
    const { watch, fold } = this.#parts;
    const { oid, schema, table } = relation;
    const followed = watch.tableOf(oid);
    const named = watch.followed.some((one) => one.schema === schema && one.table === table);
    if (!followed && named)
      await this.#giveUp(`${schema}.${table} in the stream is another table than the one followed`);
    const above = this.#partitioned;
    this.#partitioned = watch.partitionsOf(oid) && oid;
    if (above !== undefined) await this.#checkPartition(relation, above);
    this.#tables.delete(oid);
    if (!followed) return;
    const gap = gapOf(relation, followed);
    if (gap !== undefined) await this.#giveUp(gap);
    fold.describe(relation, followed);
    this.#tables.set(oid, followed);
  }

  /**
   * Before the first change of a partition, PostgreSQL describes the partitioned table and then the partition. A partition that is not
   * known has come since the last check. It may hold rows already, and may go before the next check.
   */
  async #checkPartition(relation: Relation, above: number): Promise<void> {
    const { watch } = this.#parts;
    const of = watch.tableOf(above);
    const name = `${relation.schema}.${relation.table}`;
    if (!watch.partitionsOf(above)?.some(({ oid }) => oid === relation.oid))
      await this.#giveUp(`partition ${name} of ${of?.schema ?? ''}.${of?.table ?? ''} is new`);
    if (!relation.fullIdentity)
      await this.#giveUp(`a change of ${name} was written without REPLICA IDENTITY FULL`);
  }

  /** The stream lacks changes, and no other place has them. Only a reload is exact. */
  async #giveUp(gap: string): Promise<never> {
    await this.#parts.keeper.giveUp(this.#parts.sender);
    throw new HeadwaterError('unavailable', `${gap}; everything is loaded again`);
  }

  async #change(oid: number, old: Tuple | undefined, row: Tuple | undefined): Promise<void> {
    if (!this.#tables.has(oid)) return;
    const { fold } = this.#parts;
    for (const change of fold.add(oid, old, row)) await this.#write(change);
    if (fold.held > MAX_HELD) await this.#complete(false);
  }

  async #complete(isEnd: boolean): Promise<void> {
    const { fold, sender } = this.#parts;
    const { lookup } = this.#transaction;
    for (const change of await sender.during(fold.complete(lookup, isEnd))) await this.#write(change);
  }

  async #write({ old, row }: RowChange): Promise<void> {
    const { deriver, writer, sender } = this.#parts;
    const { stamp, lsn } = this.#transaction;
    const changes = deriver.derive({ of: 'change', old, row, point: { stamp, lsn } });
    for (const change of changes instanceof Promise ? await sender.during(changes) : changes) {
      if (!writer.ready(change.type)) await sender.during(writer.prepare(change.type));
      writer.write(change);
    }
    return sender.sendWhenDue();
  }

  #request(content: Buffer): void {
    try {
      this.#requests.push(parseRequestMessage(content, this.#parts.requests.seal));
    } catch (error) {
      this.#parts.logger.error(
        { err: error },
        `a message of our prefix is no request and is left out: ${messageOf(error)}`,
      );
      this.#refused.push(messageOf(error));
    }
  }

  /** Stores what was refused before the position passes it. A place has one entry, so a repetition adds none. */
  async #tellRefused(): Promise<void> {
    const { audit } = this.#parts.requests;
    const { lsn } = this.#transaction;
    for (const [n, reason] of this.#refused.entries())
      await audit.record(messageForged(forgedAt(lsn, n), reason));
  }

  /** Readers of the log do not see this transaction's records yet, so they are committed first. A part is harmless. */
  async #truncate(oids: readonly number[], signal: AbortSignal): Promise<void> {
    const { resources, writer, sender, keeper } = this.#parts;
    const emptied = oids
      .flatMap((oid) => this.#tables.get(oid) ?? [])
      .filter(({ holds }) => holds !== 'none');
    if (emptied.length === 0) return;
    await sender.commit(() => keeper.commitPart());
    await sender.idle();
    const { stamp, lsn } = this.#transaction;
    const writing = { writer, sender, point: { stamp, lsn } };
    for (const { holds } of emptied) {
      const types = typeof holds === 'object' ? [holds.type] : await resources.topics.list();
      for (const type of types) await deleteLive(resources, writing, { type }, signal);
    }
  }

  async #end(endLsn: Lsn): Promise<void> {
    const { watch, commands, sender, keeper, metrics, logger } = this.#parts;
    const { lsn, time, skip } = this.#transaction;
    if (!skip) {
      await this.#complete(true);
      if (this.#requests.some(({ kind }) => kind === 'ExportRequested')) await sender.during(watch.verify());
      for (const request of this.#requests)
        if (!(await commands.write(request, { lsn, commitTime: time }, () => sender.flush()))) {
          logger.error(
            { jobId: request.jobId },
            `a copy of the request of export ${request.jobId} is left out`,
          );
          this.#refused.push(`it is a copy of the request of export ${request.jobId}`);
        }
      await sender.during(this.#tellRefused());
      metrics.reached(endLsn);
      metrics.lag.transactionEnded();
    }
    keeper.transactionEnded(endLsn);
  }
}

/**
 * Returns why changes of the relation, as PostgreSQL describes it at a place of its log, are incomplete; undefined if they are complete.
 * Without FULL they lack large bodies that an update left alone, and the deleted row. A column may have had another name for a while.
 */
export function gapOf(relation: Relation, { columns }: FollowedTable): string | undefined {
  const of = `a change of ${relation.schema}.${relation.table} was written`;
  if (!relation.fullIdentity) return `${of} without REPLICA IDENTITY FULL`;
  const lacking = columns.find(({ name }) => !relation.columns.includes(name));
  return lacking && `${of} while it had no column ${lacking.name}`;
}
