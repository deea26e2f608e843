import kafkajs from 'kafkajs';
import type { Admin, Kafka, Producer, Transaction } from 'kafkajs';
import { backoff, sleep } from '../../base/clock.ts';
import { offset } from '../../base/positions.ts';
import type { Offset } from '../../base/positions.ts';
import type { Outcome, Partition } from '../log.ts';
import { errorTypes, kafkaError } from './kafka-error.ts';
import type { KafkaResources } from './kafka-error.ts';
import { topicMessages } from './publisher.ts';

const ALL_REPLICAS = -1;
/** An abandoned transaction holds up readers of what is committed until a successor opens, at most for this long. */
const TRANSACTION_TIMEOUT = 15_000;
const COORDINATOR_BUSY = 'CONCURRENT_TRANSACTIONS';

export interface CommitterOptions {
  readonly kafka: Kafka;
  readonly admin: Admin;
  readonly group: string;
  readonly partition: Partition;
  /** The same for every process that may work on the partition for the group, and for nothing else. */
  readonly transactionalId: string;
}

/**
 * Moves one partition's offset for a group, together with what handling its records led to, all or nothing. Opening fences
 * whoever had it open before: that one's commits fail from then on (`fenced`), and those under way are over by the time
 * `open` resolves. The offset is read only after that, so it is the true one: between two holders no record is handled to
 * the end twice and none left out, whatever the group believes of its members.
 */
export class ExclusiveCommitter {
  readonly #options: CommitterOptions;
  readonly #producer: Producer;
  /** Of the first record that is not yet committed; undefined when nothing ever was. */
  readonly position: Offset | undefined;

  private constructor(options: CommitterOptions, producer: Producer, position: Offset | undefined) {
    this.#options = options;
    this.#producer = producer;
    this.position = position;
  }

  static async open(options: CommitterOptions): Promise<ExclusiveCommitter> {
    const { kafka, transactionalId, partition } = options;
    const producer = kafka.producer({
      transactionalId,
      idempotent: true,
      maxInFlightRequests: 1,
      transactionTimeout: TRANSACTION_TIMEOUT,
      allowAutoTopicCreation: false,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    try {
      await producer.connect();
      // kafkajs takes over the transactional id with the first transaction; an empty one reaches no broker.
      await (await producer.transaction()).abort();
      return new ExclusiveCommitter(options, producer, await committed(options));
    } catch (error) {
      await producer.disconnect().catch(() => undefined);
      throw kafkaError(error, `taking over ${partition.topic}/${partition.partition}`, resourcesOf(options));
    }
  }

  /** Appends the outcome and moves the offset to `next` in one transaction. After an error: close, open anew, look at the position. */
  async commit(outcome: Outcome, next: Offset): Promise<void> {
    const { topic, partition } = this.#options.partition;
    let transaction: Transaction | undefined;
    try {
      transaction = await this.#producer.transaction();
      if (outcome.length > 0)
        await transaction.sendBatch({ topicMessages: topicMessages(outcome), acks: ALL_REPLICAS });
      await this.#sendOffset(transaction, next);
      await transaction.commit();
    } catch (error) {
      await transaction?.abort().catch(() => undefined); // so that readers need not wait for the next `open`
      throw kafkaError(error, `committing ${topic}/${partition} up to ${next}`, resourcesOf(this.#options));
    }
  }

  async close(): Promise<void> {
    await this.#producer.disconnect().catch(() => undefined);
  }

  /** The coordinator may still be ending the last transaction, which kafkajs waits for only when there are records to send. */
  async #sendOffset(transaction: Transaction, next: Offset): Promise<void> {
    const { group, partition } = this.#options;
    const topics = [
      { topic: partition.topic, partitions: [{ partition: partition.partition, offset: String(next) }] },
    ];
    const patience = AbortSignal.timeout(TRANSACTION_TIMEOUT);
    for (let attempt = 0; ; attempt++) {
      try {
        await transaction.sendOffsets({ consumerGroupId: group, topics });
        return;
      } catch (error) {
        if (!errorTypes(error).includes(COORDINATOR_BUSY) || patience.aborted) throw error;
        await sleep(backoff(attempt, Math.random, 2, 50), patience).catch(() => undefined);
      }
    }
  }
}

/** What an authorization error may be about. The outcomes' topics are others, which Kafka does not name. */
function resourcesOf({ group, transactionalId }: CommitterOptions): KafkaResources {
  return { group, transactionalId };
}

async function committed({ admin, group, partition }: CommitterOptions): Promise<Offset | undefined> {
  const answer = await admin.fetchOffsets({ groupId: group, topics: [partition.topic] });
  const found = answer.find(({ topic }) => topic === partition.topic)?.partitions;
  const at = Number(found?.find((entry) => entry.partition === partition.partition)?.offset ?? -1);
  return at < 0 ? undefined : offset(at);
}
