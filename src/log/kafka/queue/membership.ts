import type { Kafka } from 'kafkajs';
import { backoff, sleep } from '../../../base/clock.ts';
import { messageOf, remedyFor } from '../../../base/errors.ts';
import type { HeadwaterError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/service.ts';
import type { Handle, Partition, QueueOptions } from '../../log.ts';
import { TopicWatch } from '../admin/topic-watch.ts';
import { RangeReader } from '../read/range-reader.ts';
import { Cluster } from '../wire/cluster.ts';
import type { ClusterOptions } from '../wire/cluster.ts';
import { kafkaError } from '../wire/kafka-error.ts';
import { ExclusiveCommitter } from './exclusive-committer.ts';
import { GroupSession } from './group-session.ts';
import { PartitionLanes } from './partition-lanes.ts';
import type { LaneHealth } from './partition-lanes.ts';
import { QueueLane } from './queue-lane.ts';
import { Slots } from './slots.ts';
import { stickyAssigner } from './sticky-assigner.ts';

export interface WorkQueueOptions {
  /** For the group. */
  readonly kafka: Kafka;
  /** For appends, and for reading the topics. */
  readonly cluster: ClusterOptions;
  /** The prefix of transactional ids. */
  readonly prefix: string;
  readonly logger: Logger;
  /** Called when a record of the topic is given up. */
  readonly onGaveUp?: (topic: string) => void;
}

/** A member of a consumer group. It runs one session after the other. */
export class Membership {
  readonly #queue: WorkQueueOptions;
  readonly #options: QueueOptions;
  readonly #handle: Handle;
  readonly #slots: Slots;
  readonly #reader: RangeReader;
  readonly #watch: TopicWatch;
  readonly #lanes: PartitionLanes;
  /** Rejects with an error of a lane, or of the topics. */
  readonly #failure: PromiseWithResolvers<never> = Promise.withResolvers();
  readonly #stop = new AbortController();
  #session: GroupSession;
  /** Sessions that were left, until their connections are closed. */
  readonly #leaving = new Set<Promise<void>>();
  #assignments = 0;

  constructor(queue: WorkQueueOptions, options: QueueOptions, handle: Handle) {
    this.#queue = queue;
    this.#options = options;
    this.#handle = handle;
    this.#slots = new Slots(options.concurrency);
    this.#reader = new RangeReader(queue.cluster);
    this.#watch = new TopicWatch(this.#reader, options.topics);
    this.#lanes = new PartitionLanes({
      session: () => this.#session,
      newLane: (partition, health) => this.#newLane(partition, health),
      onFailure: (error) => this.#failure.reject(error),
      onWell: () => this.#options.onAssigned?.(),
    });
    this.#session = this.#newSession();
    this.#failure.promise.catch(() => undefined);
  }

  async run(signal: AbortSignal): Promise<void> {
    const all = AbortSignal.any([signal, this.#stop.signal]);
    const watching = this.#watch.run(all).catch((error: unknown) => this.#failure.reject(error));
    try {
      await Promise.race([this.#sessions(all), this.#failure.promise]);
    } finally {
      this.#stop.abort();
      this.#lanes.close();
      await this.#reader.close();
      await Promise.all([this.#lanes.ended(), watching]);
      this.#leave(this.#session);
      await Promise.all(this.#leaving);
    }
  }

  /** Runs one session after the other. The first must succeed; after that the member joins again for as long as it takes. */
  async #sessions(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const before = this.#assignments;
      try {
        await this.#session.run(signal);
        return;
      } catch (error) {
        const trouble = await this.#troubleOf(error);
        if (this.#assignments === 0 || remedyFor(trouble) !== 'retry') throw trouble;
        if (this.#assignments > before) attempt = 0;
        this.#queue.logger.warn(
          { group: this.#options.group, attempt },
          `joins again: ${messageOf(trouble)}`,
        );
        this.#options.onTrouble?.(trouble);
      }
      this.#leave(this.#session);
      await sleep(backoff(attempt, Math.random), signal).catch(() => undefined);
      if (signal.aborted) return;
      this.#session = this.#newSession();
    }
  }

  /** Asks for the coordinator to learn why kafkajs finds none, for example because of a missing right. kafkajs does not report it. */
  async #troubleOf(error: unknown): Promise<HeadwaterError> {
    const { group } = this.#options;
    let reason = error;
    if (error instanceof Error && error.name === 'KafkaJSGroupCoordinatorNotFound') {
      const cluster = new Cluster(this.#queue.cluster);
      await cluster.coordinator('group', group).catch((found: unknown) => (reason = found));
      cluster.close();
    }
    return kafkaError(reason, `working as ${group}`, { group });
  }

  #newSession(): GroupSession {
    return new GroupSession({
      kafka: this.#queue.kafka,
      topics: this.#options.topics,
      group: this.#options.group,
      assigner: stickyAssigner(() => this.#lanes.partitions),
      onAssigned: (assignment) => {
        if (!this.#stop.signal.aborted) this.#assignments++;
        this.#lanes.assign(assignment);
      },
      onBatch: (payload) => this.#lanes.take(payload),
    });
  }

  #leave(session: GroupSession): void {
    const left = session.close().finally(() => this.#leaving.delete(left));
    this.#leaving.add(left);
  }

  #newLane(partition: Partition, health: LaneHealth): QueueLane {
    const { cluster, prefix, logger, onGaveUp } = this.#queue;
    const { group, giveUp, onTrouble } = this.#options;
    return new QueueLane({
      partition,
      slots: this.#slots,
      handle: this.#handle,
      giveUp:
        giveUp &&
        ((record, error) => {
          onGaveUp?.(record.topic);
          return giveUp(record, error);
        }),
      logger,
      onRoom: () => health.onRoom(),
      onTrouble: (error) => {
        health.onTrouble();
        onTrouble?.(error);
      },
      onRelief: () => health.onRelief(),
      open: () =>
        ExclusiveCommitter.open({
          cluster,
          group,
          partition,
          transactionalId: `${prefix}-${group}-${partition.topic}-${partition.partition}`,
        }),
    });
  }
}
