import type { Consumer, EachBatchPayload, Kafka, PartitionAssigner } from 'kafkajs';
import type { Offset } from '../../../base/positions.ts';
import type { Partition } from '../../log.ts';
import { RETRY } from '../kafka-client.ts';
import { errorTypes } from '../wire/kafka-error.ts';

/** After this time without a sign of life, in ms, a member counts as dead and its partitions go to others. */
const SESSION_TIMEOUT = 10_000;
const HEARTBEAT = 1_000;
/** Time in ms that a rebalance waits for members. They learn of it by a heartbeat, also while handlers run. */
const REBALANCE_TIMEOUT = 5_000;
/** A fetch without records ends after this time, in ms. It also bounds the time of a stop and the pause between heartbeats. */
const LONG_POLL = 250;
/** Handlers are bounded by slots, not by kafkajs, where a batch only passes through. */
const ALL_AT_ONCE = 1_000;
const LOADING: ReadonlySet<string> = new Set(['GROUP_LOAD_IN_PROGRESS', 'COORDINATOR_LOAD_IN_PROGRESS']);

export interface SessionOptions {
  readonly kafka: Kafka;
  readonly topics: readonly string[];
  readonly group: string;
  readonly assigner: PartitionAssigner;
  /** The group has given this member its partitions, at first or again. */
  readonly onAssigned: (assignment: Readonly<Record<string, readonly number[]>>) => void;
  readonly onBatch: (payload: EachBatchPayload) => Promise<void>;
}

/** One consumer of a group, from joining to leaving. A crash ends it for good. */
export class GroupSession {
  readonly #options: SessionOptions;
  readonly #consumer: Consumer;
  readonly #crash: PromiseWithResolvers<never> = Promise.withResolvers();
  #joining: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#consumer = options.kafka.consumer({
      groupId: options.group,
      sessionTimeout: SESSION_TIMEOUT,
      heartbeatInterval: HEARTBEAT,
      rebalanceTimeout: REBALANCE_TIMEOUT,
      maxWaitTimeInMs: LONG_POLL,
      readUncommitted: false,
      allowAutoTopicCreation: false,
      partitionAssigners: [options.assigner],
      // kafkajs would start over forever and in silence. Only a coordinator that is still loading, as after every start of a
      // broker, is no trouble.
      retry: {
        ...RETRY,
        restartOnFailure: (error) => Promise.resolve(errorTypes(error).some((type) => LOADING.has(type))),
      },
    });
    this.#crash.promise.catch(() => undefined);
  }

  /** Joins and stays. Rejects when the consumer crashes; resolves when `signal` fires. */
  async run(signal: AbortSignal): Promise<void> {
    const { events } = this.#consumer;
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => {
      if (!this.#closed) this.#options.onAssigned(payload.memberAssignment);
    });
    this.#consumer.on(events.CRASH, ({ payload }) => {
      if (!payload.restart) this.#crash.reject(payload.error);
    });
    const stopped = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#joining = this.#join(signal);
    await Promise.race([Promise.all([this.#joining, this.#crash.promise]), stopped]);
  }

  /** Waits until kafkajs has joined, because it cannot stop while it joins. That takes one rebalance at most. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#joining.catch(() => undefined);
    await this.#consumer.disconnect().catch(() => undefined);
  }

  pause(partitions: readonly Partition[]): void {
    this.#change(() => this.#consumer.pause(partitions.map(selected)));
  }

  resume(partition: Partition): void {
    this.#change(() => this.#consumer.resume([selected(partition)]));
  }

  seek(partition: Partition, offset: Offset): void {
    this.#change(() => this.#consumer.seek({ ...partition, offset: String(offset) }));
  }

  #change(change: () => void): void {
    if (!this.#closed) change();
  }

  async #join(signal: AbortSignal): Promise<void> {
    const { topics, onBatch } = this.#options;
    const steps = [
      () => this.#consumer.connect(),
      () => this.#consumer.subscribe({ topics: [...topics], fromBeginning: true }),
      () =>
        this.#consumer.run({
          autoCommit: false,
          eachBatchAutoResolve: false,
          partitionsConsumedConcurrently: ALL_AT_ONCE,
          eachBatch: onBatch,
        }),
    ];
    for (const step of steps) if (!signal.aborted) await step();
  }
}

function selected({ topic, partition }: Partition): { topic: string; partitions: number[] } {
  return { topic, partitions: [partition] };
}
