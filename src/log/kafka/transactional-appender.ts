import kafkajs from 'kafkajs';
import type { Kafka, Producer } from 'kafkajs';
import type { NewRecord } from '../log.ts';
import type { OpenTransactionalAppender, TransactionalAppender } from '../transactional-appender.ts';
import { RETRY } from './kafka-client.ts';
import { kafkaError } from './kafka-error.ts';
import { topicMessages } from './publisher.ts';

const TRANSACTION_TIMEOUT = 30_000;
const ALL_REPLICAS = -1;

/** Transactional appends with kafkajs, for small traffic. */
export function transactionalAppenders(kafka: Kafka): OpenTransactionalAppender {
  return async (transactionalId) => {
    const producer = kafka.producer({
      transactionalId,
      transactionTimeout: TRANSACTION_TIMEOUT,
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      retry: RETRY, // kafkajs would try for ever; here a failed appender is replaced, which decides what is in doubt
    });
    try {
      await producer.connect();
      // kafkajs asks for its producer id, and by that fences the one before, only when a first transaction begins.
      await (await producer.transaction()).abort();
    } catch (error) {
      await producer.disconnect().catch(() => undefined);
      throw kafkaError(error, `opening transactions of ${transactionalId}`);
    }
    return new KafkaTransactionalAppender(producer, transactionalId);
  };
}

class KafkaTransactionalAppender implements TransactionalAppender {
  readonly #producer: Producer;
  readonly #transactionalId: string;

  constructor(producer: Producer, transactionalId: string) {
    this.#producer = producer;
    this.#transactionalId = transactionalId;
  }

  async append(records: readonly NewRecord[]): Promise<void> {
    if (records.length === 0) return;
    try {
      const transaction = await this.#producer.transaction();
      try {
        await transaction.sendBatch({ topicMessages: topicMessages(records), acks: ALL_REPLICAS });
        await transaction.commit();
      } catch (error) {
        if (transaction.isActive()) await transaction.abort().catch(() => undefined);
        throw error;
      }
    } catch (error) {
      throw kafkaError(error, `a transaction of ${this.#transactionalId}`);
    }
  }

  async close(): Promise<void> {
    await this.#producer.disconnect().catch(() => undefined);
  }
}
