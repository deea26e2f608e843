import type { NewRecord } from '../../log.ts';
import type { OpenTransactionalAppender, TransactionalAppender } from '../../transactional-appender.ts';
import { appendRecords } from './append-records.ts';
import { Cluster } from '../wire/cluster.ts';
import type { ClusterOptions } from '../wire/cluster.ts';
import { Producer } from './producer.ts';

/** ms */
const TRANSACTION_TIMEOUT = 30_000;

/** Transactional appends for small traffic. */
export function transactionalAppenders(options: ClusterOptions): OpenTransactionalAppender {
  return async (transactionalId) => {
    const cluster = new Cluster(options);
    try {
      const producer = await Producer.open(cluster, {
        transactionalId,
        transactionTimeout: TRANSACTION_TIMEOUT,
      });
      return new KafkaTransactionalAppender(cluster, producer);
    } catch (error) {
      cluster.close();
      throw error;
    }
  };
}

class KafkaTransactionalAppender implements TransactionalAppender {
  readonly #cluster: Cluster;
  readonly #producer: Producer;

  constructor(cluster: Cluster, producer: Producer) {
    this.#cluster = cluster;
    this.#producer = producer;
  }

  async append(records: readonly NewRecord[]): Promise<void> {
    if (records.length === 0) return;
    try {
      await appendRecords(this.#cluster, this.#producer, records);
    } catch (error) {
      await this.#producer.abandon(error);
      throw error;
    }
    await this.#producer.end(true);
  }

  async close(): Promise<void> {
    this.#cluster.close();
    return Promise.resolve();
  }
}
