import kafkajs from 'kafkajs';
import type { Kafka, Message, Producer, TopicMessages } from 'kafkajs';
import type { NewRecord, Publisher } from '../log.ts';
import { kafkaError } from './kafka-error.ts';

const ALL_REPLICAS = -1;

/** Records as kafkajs takes them, in order within a topic. */
export function topicMessages(records: readonly NewRecord[]): TopicMessages[] {
  return [...Map.groupBy(records, ({ topic }) => topic)].map(([topic, list]) => ({
    topic,
    messages: list.map(message),
  }));
}

function message({ key, value, partition, timestamp, headers }: NewRecord): Message {
  return {
    key,
    value,
    ...(partition !== undefined && { partition }),
    ...(timestamp !== undefined && { timestamp: String(timestamp) }),
    ...(headers !== undefined && { headers }),
  };
}

/**
 * Appends outside of transactions: what it resolved is stored on every in-sync replica. A producer that failed is not
 * used again, since what it believes of its sequence numbers may be wrong; the next append opens another.
 * A crash loses at most what was not resolved.
 */
export class KafkaPublisher implements Publisher {
  readonly #kafka: Kafka;
  #producer: Promise<Producer> | undefined;

  constructor(kafka: Kafka) {
    this.#kafka = kafka;
  }

  async append(records: readonly NewRecord[]): Promise<void> {
    if (records.length === 0) return;
    this.#producer ??= this.#open();
    const opened = this.#producer;
    try {
      const producer = await opened;
      await producer.sendBatch({ topicMessages: topicMessages(records), acks: ALL_REPLICAS });
    } catch (error) {
      if (this.#producer === opened) this.#producer = undefined;
      void opened.then((producer) => producer.disconnect()).catch(() => undefined);
      const topic = records[0]?.topic ?? '';
      throw kafkaError(error, `appending to ${topic}`, { topic });
    }
  }

  async close(): Promise<void> {
    const opened = this.#producer;
    this.#producer = undefined;
    await opened?.then((producer) => producer.disconnect()).catch(() => undefined);
  }

  async #open(): Promise<Producer> {
    const producer = this.#kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    return producer;
  }
}
