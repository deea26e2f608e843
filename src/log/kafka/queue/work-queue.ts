import type { EachBatchPayload, Kafka } from 'kafkajs';
import { backoff, sleep } from '../../../base/clock.ts';
import { HeadwaterError, messageOf, remedyFor } from '../../../base/errors.ts';
import type { Logger } from '../../../base/service.ts';
import type { Handle, Partition, QueueOptions, WorkQueue } from '../../log.ts';
import { Cluster } from '../wire/cluster.ts';
import type { ClusterOptions } from '../wire/cluster.ts';
import { ExclusiveCommitter } from './exclusive-committer.ts';
import { GroupSession } from './group-session.ts';
import { kafkaError } from '../wire/kafka-error.ts';
import { QueueLane } from './queue-lane.ts';
import { RangeReader } from '../read/range-reader.ts';
import { Slots } from './slots.ts';
import { stickyAssigner } from './sticky-assigner.ts';
import { TopicWatch } from '../admin/topic-watch.ts';

export interface WorkQueueOptions {
  /** For the group. */
  readonly kafka: Kafka;
  /** For what is written, and for the topics. */
  readonly cluster: ClusterOptions;
  /** Of transactional ids. */
  readonly prefix: string;
  readonly logger: Logger;
  /** A record of the topic was given up. */
  readonly onGaveUp?: (topic: string) => void;
}

/**
 * Work queue on a Kafka consumer group. The group only says who works on what; that a record is handled once rests on
 * ExclusiveCommitter alone, so a member that is late to hear of a rebalance does no harm, and lanes outlive a group that
 * cannot be reached.
 * A crash leaves at most one open transaction per partition, which the next holder aborts.
 */
export class KafkaWorkQueue implements WorkQueue {
  readonly #options: WorkQueueOptions;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  async run(options: QueueOptions, handle: Handle, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Membership(this.#options, options, handle).run(signal);
  }
}

/** The time in the group, over as many sessions as it takes. */
class Membership {
  readonly #queue: WorkQueueOptions;
  readonly #options: QueueOptions;
  readonly #handle: Handle;
  readonly #slots: Slots;
  readonly #reader: RangeReader;
  readonly #watch: TopicWatch;
  readonly #lanes = new Map<string, QueueLane>();
  /** Lanes that have not come to their end. */
  readonly #running = new Set<Promise<void>>();
  /** Lanes that wait for a server. */
  readonly #troubled = new Set<QueueLane>();
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
      for (const lane of this.#lanes.values()) lane.close();
      await this.#reader.close();
      await Promise.all([...this.#running, watching]);
      this.#leave(this.#session);
      await Promise.all(this.#leaving);
    }
  }

  /** One session after the other. The first has to succeed; after that the group is joined again however long it takes. */
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

  /** kafkajs hides why it finds no coordinator, as a right that is missing: a call of our own tells. */
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
      assigner: stickyAssigner(() => [...this.#lanes.values()].map((lane) => lane.partition)),
      onAssigned: (assignment) => this.#assign(assignment),
      onBatch: (payload) => this.#take(payload),
    });
  }

  #leave(session: GroupSession): void {
    const left = session.close().finally(() => this.#leaving.delete(left));
    this.#leaving.add(left);
  }

  /** The group has given this member its partitions. Lanes it keeps go on undisturbed. */
  #assign(assignment: Readonly<Record<string, readonly number[]>>): void {
    if (this.#stop.signal.aborted) return;
    this.#assignments++;
    const given = new Map<string, Partition>(
      Object.entries(assignment).flatMap(([topic, partitions]) =>
        partitions.map((partition) => [`${topic}/${partition}`, { topic, partition }] as const),
      ),
    );
    for (const [key, lane] of this.#lanes) {
      if (given.has(key)) {
        this.#fetchFor(lane);
      } else {
        lane.close();
        this.#lanes.delete(key);
        this.#troubled.delete(lane);
      }
    }
    const added = [...given]
      .filter(([key]) => !this.#lanes.has(key))
      .map(([key, partition]) => this.#add(key, partition));
    void Promise.all(added).then(() => this.#tellWell());
  }

  /** Begins to work on a partition: nothing is fetched for it before it is known from where. */
  async #add(key: string, partition: Partition): Promise<void> {
    const lane = this.#newLane(partition);
    this.#lanes.set(key, lane);
    this.#session.pause([partition]);
    const opened = lane.open();
    const running = opened
      .then(() => lane.run())
      .catch((error: unknown) => {
        if (this.#lanes.get(key) === lane) this.#failure.reject(error); // a handler's error is passed on as it is
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
    await opened.catch(() => undefined);
    if (this.#lanes.get(key) === lane) this.#fetchFor(lane); // else it was taken away meanwhile
  }

  #newLane(partition: Partition): QueueLane {
    const { cluster, prefix, logger, onGaveUp } = this.#queue;
    const { group, giveUp } = this.#options;
    const lane: QueueLane = new QueueLane({
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
      onRoom: () => this.#session.resume(partition),
      onTrouble: (error) => {
        this.#troubled.add(lane);
        this.#options.onTrouble?.(error);
      },
      onRelief: () => {
        if (this.#troubled.delete(lane)) this.#tellWell();
      },
      open: () =>
        ExclusiveCommitter.open({
          cluster,
          group,
          partition,
          transactionalId: `${prefix}-${group}-${partition.topic}-${partition.partition}`,
        }),
    });
    return lane;
  }

  #take(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const lane = this.#lanes.get(`${batch.topic}/${batch.partition}`);
    if (!lane)
      throw new HeadwaterError(
        'internal',
        `records of ${batch.topic}/${batch.partition}, which is another's`,
      );
    lane.offer(batch.messages);
    payload.resolveOffset(batch.lastOffset());
    if (!lane.hungry) this.#session.pause([lane.partition]);
    return Promise.resolve();
  }

  /** Where a group without a committed offset begins, kafkajs finds by itself: at the beginning. */
  #fetchFor(lane: QueueLane): void {
    if (this.#stop.signal.aborted) return;
    if (!lane.hungry) {
      this.#session.pause([lane.partition]);
      return;
    }
    if (lane.next !== undefined) this.#session.seek(lane.partition, lane.next);
    this.#session.resume(lane.partition);
  }

  #tellWell(): void {
    if (this.#troubled.size === 0 && !this.#stop.signal.aborted) this.#options.onAssigned?.();
  }
}
