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
import type { PositionKeeper } from './position-keeper.ts';
import type { Requests } from './requests.ts';
import type { ResourceLog } from './resource-log.ts';
import { gapOf, RowReader } from './source-mapping.ts';
import type { SourceMapping } from './source-mapping.ts';
import type { StampClock } from './stamp-clock.ts';

/** The parts that a received message passes through. */
export interface ReceiverParts {
  readonly mapping: SourceMapping;
  readonly resources: Pick<ResourceLog, 'reader' | 'topics' | 'changes'>;
  readonly requests: Pick<Requests, 'messagePrefix' | 'seal'>;
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

/** Turns the messages of source transactions into changes and commands, in the order of the stream. */
export class TransactionReceiver {
  readonly #parts: ReceiverParts;
  /** The stream repeats the transactions that were committed before this position. */
  readonly #start: Lsn;
  /** Row readers by the table's object id; null for a table that is not mapped. */
  readonly #rows = new Map<number, RowReader | null>();
  #requests: RequestMessage[] = [];
  #transaction: { readonly lsn: Lsn; readonly time: number; readonly stamp: Stamp; readonly skip: boolean };

  constructor(parts: ReceiverParts, start: Lsn) {
    this.#parts = parts;
    this.#start = start;
    this.#transaction = { lsn: start, time: 0, stamp: parts.stamps.last, skip: true };
  }

  async receive(message: WalMessage, signal: AbortSignal): Promise<void> {
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
        if (message.transactional && message.prefix === this.#parts.requests.messagePrefix)
          this.#request(message.content);
    }
  }

  #begin(commitLsn: Lsn, time: number): void {
    const { keeper, stamps, metrics } = this.#parts;
    const skip = commitLsn < this.#start;
    keeper.transactionBegan();
    this.#requests = [];
    this.#transaction = { lsn: commitLsn, time, stamp: skip ? stamps.last : stamps.change(time), skip };
    if (!skip) metrics.lag.transactionBegan(time);
  }

  /** Finds a table by its object id, because another table may have its name now. */
  async #describe(relation: Relation): Promise<void> {
    const { watch, mapping: tables } = this.#parts;
    const { oid, schema, table } = relation;
    const mapping = watch.mappingOf(oid);
    const named = tables.some((m) => m.schema === schema && m.table === table);
    if (!mapping && named)
      await this.#giveUp(`${schema}.${table} in the stream is another table than the one followed`);
    const gap = mapping && gapOf(relation, mapping);
    if (gap !== undefined) await this.#giveUp(gap);
    this.#rows.set(oid, mapping ? new RowReader(relation, mapping) : null);
  }

  /** The stream lacks changes, and no other place has them. Only a reload is exact. */
  async #giveUp(gap: string): Promise<never> {
    await this.#parts.keeper.giveUp(this.#parts.sender);
    throw new HeadwaterError('unavailable', `${gap}; everything is loaded again`);
  }

  async #change(oid: number, old: Tuple | undefined, row: Tuple | undefined): Promise<void> {
    const reader = this.#rows.get(oid);
    if (!reader) return;
    const { deriver, writer, sender } = this.#parts;
    const { stamp, lsn } = this.#transaction;
    const changes = deriver.derive({
      of: 'change',
      old: old && reader.read(old),
      row: row && reader.read(row),
      point: { stamp, lsn },
    });
    for (const change of await sender.during(changes)) {
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
    }
  }

  /** Readers of the log do not see this transaction's records yet, so they are committed first. A part is harmless. */
  async #truncate(oids: readonly number[], signal: AbortSignal): Promise<void> {
    const { resources, writer, sender, keeper } = this.#parts;
    const truncated = oids.flatMap((oid) => this.#rows.get(oid)?.mapping ?? []);
    if (truncated.length === 0) return;
    await sender.commit(() => keeper.commitPart());
    await sender.idle();
    const { stamp, lsn } = this.#transaction;
    const writing = { writer, sender, point: { stamp, lsn } };
    for (const mapping of truncated) {
      const types = 'constant' in mapping.type ? [mapping.type.constant] : await resources.topics.list();
      for (const type of types) await deleteLive(resources, writing, { type }, signal);
    }
  }

  async #end(endLsn: Lsn): Promise<void> {
    const { watch, commands, sender, keeper, metrics, logger } = this.#parts;
    const { lsn, time, skip } = this.#transaction;
    if (!skip) {
      if (this.#requests.some(({ kind }) => kind === 'ExportRequested')) await sender.during(watch.verify());
      for (const request of this.#requests)
        if (!(await commands.write(request, { lsn, commitTime: time }, () => sender.flush())))
          logger.error(
            { jobId: request.jobId },
            `a copy of the request of export ${request.jobId} is left out`,
          );
      metrics.reached(endLsn);
      metrics.lag.transactionEnded();
    }
    keeper.transactionEnded(endLsn);
  }
}
