import { offset } from '../../../base/positions.ts';
import type { Offset } from '../../../base/positions.ts';
import type { Outcome, Partition } from '../../log.ts';
import { appendRecords } from '../append/append-records.ts';
import { Cluster } from '../wire/cluster.ts';
import type { ClusterOptions } from '../wire/cluster.ts';
import { coordinate } from '../wire/patience.ts';
import { Producer } from '../append/producer.ts';
import { fetchOffset } from '../wire/protocol-write.ts';

/** ms. An abandoned transaction holds up readers of what is committed until a successor opens, at most for this long. */
const TRANSACTION_TIMEOUT = 15_000;

export interface CommitterOptions {
  readonly cluster: ClusterOptions;
  readonly group: string;
  readonly partition: Partition;
  /** The transactional id. All processes that may work on the partition for the group use the same one, and nothing else does. */
  readonly transactionalId: string;
}

/**
 * Commits the outcomes of the records of one partition together with the offset of the group, all or nothing. Opening fences the earlier
 * holder: its commits fail from then on (`fenced`), and its running commits have ended when `open` resolves. The offset is read after
 * that, so it is the true one. Between two holders, no record has two outcomes and none is left out, whatever the group knows of its
 * members.
 */
export class ExclusiveCommitter {
  readonly #options: CommitterOptions;
  readonly #cluster: Cluster;
  readonly #producer: Producer;
  /** Offset of the first record that is not yet committed; undefined when nothing was ever committed. */
  readonly position: Offset | undefined;

  private constructor(
    options: CommitterOptions,
    cluster: Cluster,
    producer: Producer,
    position: Offset | undefined,
  ) {
    this.#options = options;
    this.#cluster = cluster;
    this.#producer = producer;
    this.position = position;
  }

  static async open(options: CommitterOptions): Promise<ExclusiveCommitter> {
    const { transactionalId, group, partition } = options;
    const cluster = new Cluster(options.cluster);
    try {
      const producer = await Producer.open(cluster, {
        transactionalId,
        transactionTimeout: TRANSACTION_TIMEOUT,
      });
      const next = await coordinate(cluster, { kind: 'group', key: group }, fetchOffset(group, partition));
      return new ExclusiveCommitter(options, cluster, producer, next < 0 ? undefined : offset(next));
    } catch (error) {
      cluster.close();
      throw error;
    }
  }

  /** Appends the outcome and moves the offset to `next` in one transaction. After an error: close, open again, look at the position. */
  async commit(outcome: Outcome, next: Offset): Promise<void> {
    const { group, partition } = this.#options;
    try {
      await appendRecords(this.#cluster, this.#producer, outcome);
      await this.#producer.sendOffset(group, partition, next);
    } catch (error) {
      await this.#producer.abandon(error); // so that readers need not wait for the next `open`
      throw error;
    }
    await this.#producer.end(true);
  }

  async close(): Promise<void> {
    this.#cluster.close();
    return Promise.resolve();
  }
}
