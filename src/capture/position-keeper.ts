import { lsn } from '../base/positions.ts';
import type { Lsn } from '../base/positions.ts';
import type { HealthReporter } from '../base/service.ts';
import type { Position } from '../events/position.ts';
import type { ChangeDestination } from './change-writer.ts';
import { ConfirmedPosition } from './confirmed-position.ts';
import type { LogSender } from './log-sender.ts';
import { positionRecord } from './position.ts';
import type { ReplicationStream } from './replication-stream.ts';
import type { ResourceLog } from './resource-log.ts';

/** An idle database's log is released at most this often, in ms. */
const IDLE_INTERVAL = 10_000;

/** A log that also stores positions. */
export interface PositionDestination extends Pick<ChangeDestination, 'log' | 'clock'> {
  readonly resources: Pick<ResourceLog, 'positions'>;
}

/** Adds a position to the open Kafka transaction. */
export function addPosition({ log, resources, clock }: PositionDestination, position: Position): void {
  log.add(resources.positions.topic, positionRecord(resources.positions, position, clock()));
}

/**
 * Role: stores with each commit the position that it covers, and confirms a position to PostgreSQL when Kafka has stored it.
 * Invariant: a committed request is never without the position that covers it, so it gets one cut.
 */
export class PositionKeeper {
  readonly #destination: PositionDestination & Pick<ChangeDestination, 'metrics'>;
  readonly #health: HealthReporter;
  readonly #confirmed: ConfirmedPosition;
  /** The position at a moment: everything but its lsn. */
  readonly #positionNow: () => Omit<Position, 'lsn'>;
  #handedOver: Lsn;
  #idleStoredAt = 0;
  /** Where the source's log ended at the first probe. */
  #firstEnd: Lsn | undefined;

  constructor(
    destination: PositionDestination & Pick<ChangeDestination, 'metrics'>,
    health: HealthReporter,
    start: Lsn,
    positionNow: () => Omit<Position, 'lsn'>,
  ) {
    this.#destination = destination;
    this.#health = health;
    this.#confirmed = new ConfirmedPosition(start);
    this.#handedOver = start;
    this.#positionNow = positionNow;
  }

  transactionBegan(): void {
    this.#confirmed.transactionBegan();
  }

  transactionEnded(end: Lsn): void {
    this.#confirmed.transactionEnded(end);
  }

  /** PostgreSQL has sent everything up to here. */
  advancedTo(position: Lsn): void {
    this.#confirmed.advancedTo(position);
    const covered = this.#confirmed.idleAdvance();
    if (covered !== undefined) this.#destination.metrics.lag.covered(covered);
  }

  /** @param end where the source's log ends */
  probed(end: Lsn): void {
    this.#firstEnd ??= end;
  }

  /** Between source transactions: starts a commit of everything received. Many small transactions share one commit. */
  async store(sender: LogSender, stream: ReplicationStream): Promise<void> {
    if (this.#confirmed.inTransaction) return;
    const position = this.#toStore(sender);
    if (position === undefined) return;
    await sender.commit(async () => {
      this.#idleStoredAt = this.#destination.clock();
      await this.#commit(position);
      stream.confirm(position);
    });
  }

  /**
   * Commits in the middle of a source transaction. The same commit may hold transactions before it, and a crash must not repeat them:
   * a request among them would get a second cut, behind records of this transaction. So their position is stored too.
   */
  commitPart(): Promise<void> {
    const { reached } = this.#confirmed;
    return reached > this.#handedOver ? this.#commit(reached) : this.#destination.log.commit();
  }

  /** Commits a position that leads to a reload. */
  async giveUp(sender: LogSender): Promise<void> {
    this.#add(lsn(0n));
    await sender.commit(() => this.#destination.log.commit());
    await sender.idle();
  }

  #toStore(sender: LogSender): Lsn | undefined {
    const { reached } = this.#confirmed;
    if (reached > this.#handedOver) return reached;
    this.#reportReady(sender);
    const due = this.#destination.clock() - this.#idleStoredAt >= IDLE_INTERVAL;
    return due ? this.#confirmed.idleAdvance() : undefined;
  }

  /** Reports readiness when the log has stored something, or when the stream up to the first probe held nothing to store. */
  #reportReady(sender: LogSender): void {
    const sent = this.#firstEnd !== undefined && this.#confirmed.advanced >= this.#firstEnd;
    if (sent && !sender.busy) this.#health.ready();
  }

  async #commit(position: Lsn): Promise<void> {
    const { log, metrics } = this.#destination;
    this.#handedOver = position;
    this.#add(position);
    metrics.lag.handedOver();
    await log.commit();
    this.#confirmed.committed(position);
    metrics.lag.stored(this.#confirmed.idleAdvance() ?? position);
  }

  #add(reached: Lsn): void {
    addPosition(this.#destination, { ...this.#positionNow(), lsn: reached });
  }
}
