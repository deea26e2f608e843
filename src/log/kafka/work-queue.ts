import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import { HeadwaterError } from '../../base/errors.ts';
import type { Outcome, Partition, QueuedRecord, QueueOptions, WorkQueue } from '../log.ts';
import type { ClusterOptions } from './cluster.ts';
import { ExclusiveCommitter } from './exclusive-committer.ts';
import { RETRY } from './kafka-client.ts';
import { errorTypes, kafkaError } from './kafka-error.ts';
import { QueueLane } from './queue-lane.ts';
import { Slots } from './slots.ts';
import { stickyAssigner } from './sticky-assigner.ts';

/** After this long without a word a member counts as dead and its partitions go to others. */
const SESSION_TIMEOUT = 10_000;
const HEARTBEAT = 1_000;
/** How long a rebalance waits for members to come; they hear of it within a heartbeat, whatever their handlers do. */
const REBALANCE_TIMEOUT = 5_000;
/** A fetch that finds nothing ends after this long; so does a stop, and so come heartbeats. */
const LONG_POLL = 250;
/** Handlers are bounded by slots, not by kafkajs, where a batch only passes through. */
const ALL_AT_ONCE = 1_000;
const LOADING = 'GROUP_LOAD_IN_PROGRESS';

type Handle = (record: QueuedRecord, signal: AbortSignal) => Promise<Outcome>;

export interface WorkQueueOptions {
  /** For the group. */
  readonly kafka: Kafka;
  /** For what is written. */
  readonly cluster: ClusterOptions;
  /** Of transactional ids. */
  readonly prefix: string;
}

/**
 * Work queue on a Kafka consumer group. The group only says who works on what; that a record is handled once rests on
 * ExclusiveCommitter alone, so a member that is late to hear of a rebalance does no harm.
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

/** One time in the group, from joining to leaving. */
class Membership {
  readonly #cluster: ClusterOptions;
  readonly #prefix: string;
  readonly #options: QueueOptions;
  readonly #handle: Handle;
  readonly #slots: Slots;
  readonly #consumer: Consumer;
  readonly #lanes = new Map<string, QueueLane>();
  /** Lanes that have not come to their end. */
  readonly #running = new Set<Promise<void>>();
  readonly #end: PromiseWithResolvers<void> = Promise.withResolvers();
  #stopping = false;

  constructor({ kafka, cluster, prefix }: WorkQueueOptions, options: QueueOptions, handle: Handle) {
    this.#cluster = cluster;
    this.#prefix = prefix;
    this.#options = options;
    this.#handle = handle;
    this.#slots = new Slots(options.concurrency);
    this.#consumer = kafka.consumer({
      groupId: options.group,
      sessionTimeout: SESSION_TIMEOUT,
      heartbeatInterval: HEARTBEAT,
      rebalanceTimeout: REBALANCE_TIMEOUT,
      maxWaitTimeInMs: LONG_POLL,
      readUncommitted: false,
      allowAutoTopicCreation: false,
      partitionAssigners: [stickyAssigner(() => [...this.#lanes.values()].map((lane) => lane.partition))],
      // kafkajs would start over for ever and in silence; that is for the supervisor, who also says why. Only a coordinator
      // that is still loading, as after every start of a broker, is no trouble.
      retry: { ...RETRY, restartOnFailure: (error) => Promise.resolve(errorTypes(error).includes(LOADING)) },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#end.resolve();
    signal.addEventListener('abort', stop, { once: true });
    const joined = this.#join(signal).catch((error: unknown) => this.#fail(error));
    try {
      await this.#end.promise;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#stopping = true;
      for (const lane of this.#lanes.values()) lane.close();
      await Promise.all(this.#running);
      // kafkajs cannot give up joining: the group would wait for a member that is no more. It takes a rebalance at most.
      await joined;
      await this.#consumer.disconnect().catch(() => undefined);
    }
  }

  async #join(signal: AbortSignal): Promise<void> {
    const { events } = this.#consumer;
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => this.#assign(payload.memberAssignment));
    this.#consumer.on(events.CRASH, ({ payload }) => {
      if (!payload.restart) this.#fail(payload.error);
    });
    const steps = [
      () => this.#consumer.connect(),
      () => this.#consumer.subscribe({ topics: [...this.#options.topics], fromBeginning: true }),
      () =>
        this.#consumer.run({
          autoCommit: false,
          eachBatchAutoResolve: false,
          partitionsConsumedConcurrently: ALL_AT_ONCE,
          eachBatch: (payload) => this.#take(payload),
        }),
    ];
    for (const step of steps) if (!signal.aborted) await step();
  }

  #fail(error: unknown): void {
    this.#end.reject(kafkaError(error, `working as ${this.#options.group}`));
  }

  /** The group has given this member its partitions. Lanes it keeps go on undisturbed. */
  #assign(assignment: Readonly<Record<string, readonly number[]>>): void {
    if (this.#stopping) return;
    const given = new Map<string, Partition>(
      Object.entries(assignment).flatMap(([topic, partitions]) =>
        partitions.map((partition) => [`${topic}/${partition}`, { topic, partition }] as const),
      ),
    );
    for (const [key, lane] of this.#lanes) {
      if (given.has(key)) {
        this.#seek(lane);
      } else {
        lane.close();
        this.#lanes.delete(key);
      }
    }
    const added = [...given]
      .filter(([key]) => !this.#lanes.has(key))
      .map(([key, partition]) => this.#add(key, partition));
    void Promise.all(added).then(() => this.#options.onAssigned?.());
  }

  /** Begins to work on a partition: nothing is fetched for it before it is known from where. */
  async #add(key: string, partition: Partition): Promise<void> {
    const lane = this.#newLane(partition);
    this.#lanes.set(key, lane);
    this.#consumer.pause([{ topic: partition.topic, partitions: [partition.partition] }]);
    const opened = lane.open();
    const running = opened
      .then(() => lane.run())
      .catch((error: unknown) => {
        if (this.#lanes.get(key) === lane) this.#end.reject(error); // a handler's error is passed on as it is
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
    await opened.catch(() => undefined);
    if (this.#lanes.get(key) !== lane) return; // taken away meanwhile
    this.#seek(lane);
    this.#resume(lane);
  }

  #newLane(partition: Partition): QueueLane {
    const { group } = this.#options;
    const lane: QueueLane = new QueueLane({
      partition,
      slots: this.#slots,
      handle: this.#handle,
      onRoom: () => this.#resume(lane),
      open: () =>
        ExclusiveCommitter.open({
          cluster: this.#cluster,
          group,
          partition,
          transactionalId: `${this.#prefix}-${group}-${partition.topic}-${partition.partition}`,
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
    if (lane.crowded) this.#consumer.pause([{ topic: batch.topic, partitions: [batch.partition] }]);
    return Promise.resolve();
  }

  /** Where a group without a committed offset begins, kafkajs finds by itself: at the beginning. */
  #seek(lane: QueueLane): void {
    if (this.#stopping || lane.next === undefined) return;
    this.#consumer.seek({ ...lane.partition, offset: String(lane.next) });
  }

  #resume({ partition }: QueueLane): void {
    if (this.#stopping) return;
    this.#consumer.resume([{ topic: partition.topic, partitions: [partition.partition] }]);
  }
}
