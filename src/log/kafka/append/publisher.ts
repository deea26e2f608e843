import type { NewRecord, Publisher } from '../../log.ts';
import { appendRecords } from './append-records.ts';
import { Cluster } from '../wire/cluster.ts';
import type { ClusterOptions } from '../wire/cluster.ts';
import { Producer } from './producer.ts';

/**
 * Appends outside of transactions. When an append resolves, its records are on every in-sync replica. A producer that failed is not used
 * again, because its sequence numbers may be wrong; the next append opens another. A crash loses only appends that have not resolved.
 */
export class KafkaPublisher implements Publisher {
  readonly #cluster: Cluster;
  #producer: Producer | undefined;
  /** The append under way: a producer makes one at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: ClusterOptions) {
    this.#cluster = new Cluster(options);
  }

  append(records: readonly NewRecord[]): Promise<void> {
    const appended = this.#last.then(() => this.#append(records));
    this.#last = appended.catch(() => undefined);
    return appended;
  }

  async close(): Promise<void> {
    this.#cluster.close();
    return Promise.resolve();
  }

  async #append(records: readonly NewRecord[]): Promise<void> {
    try {
      this.#producer ??= await Producer.open(this.#cluster);
      await appendRecords(this.#cluster, this.#producer, records);
    } catch (error) {
      this.#producer = undefined;
      throw error;
    }
  }
}
