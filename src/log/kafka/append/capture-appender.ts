import type { TopicListener } from '../../log.ts';
import { Cluster } from '../wire/cluster.ts';
import type { ClusterOptions } from '../wire/cluster.ts';
import { PartitionBuffer } from './partition-buffer.ts';
import type { AppendedRecord } from './partition-buffer.ts';
import { Producer } from './producer.ts';
import { withoutRefused } from './refused-batch.ts';
import type { SentBatch } from './refused-batch.ts';

/** ms */
const TRANSACTION_TIMEOUT = 60_000;

/**
 * The writer of the resource topics: one transactional producer that knows, after `flush`, where each of its partitions
 * ends. Opening it fences every earlier holder of the transactional id. After an error the instance is useless: close it, open
 * another, read the stored position, and continue there. One transaction is open from the first `flush` to `commit`.
 */
export class CaptureAppender {
  readonly #cluster: Cluster;
  readonly #producer: Producer;
  readonly #buffer = new PartitionBuffer();
  /** In ms. */
  readonly transactionTimeoutMs: number;

  private constructor(cluster: Cluster, producer: Producer, timeoutMs: number) {
    this.#cluster = cluster;
    this.#producer = producer;
    this.transactionTimeoutMs = timeoutMs;
  }

  /** @param timeoutMs Kafka aborts a transaction after this time */
  static async open(
    options: ClusterOptions,
    transactionalId: string,
    timeoutMs = TRANSACTION_TIMEOUT,
  ): Promise<CaptureAppender> {
    const cluster = new Cluster(options);
    try {
      const producer = await Producer.open(cluster, { transactionalId, transactionTimeout: timeoutMs });
      return new CaptureAppender(cluster, producer, timeoutMs);
    } catch (error) {
      cluster.close();
      throw error;
    }
  }

  /** Raw bytes added and not yet flushed. */
  get pendingBytes(): number {
    return this.#buffer.bytes;
  }

  /** How long Kafka has held the transaction open, in ms; 0 if none is open. */
  get openMs(): number {
    return this.#producer.openMs;
  }

  /** Names a topic before the first record for it. A record goes to partition murmur2(key) mod the number of `ends`. */
  declare(topic: string, ends: readonly number[]): void {
    this.#buffer.declare(topic, ends);
  }

  declared(topic: string): boolean {
    return this.#buffer.declared(topic);
  }

  /** The ends of a topic's partitions, with every flushed record. */
  ends(topic: string): readonly number[] {
    return this.#buffer.ends(topic);
  }

  /** Sets the listener of a topic; it replaces an earlier one. A refused record of a topic without a listener fails the flush. */
  listen(topic: string, listener: TopicListener): void {
    this.#buffer.listen(topic, listener);
  }

  /** Copies a record, and notes which patients it is about. Flush when `pendingBytes` is large. */
  add(topic: string, record: AppendedRecord, patients?: readonly string[]): void {
    this.#buffer.add(topic, record, patients);
  }

  /** Sends all added records. When it resolves they are stored, and not yet committed. Never call it twice at once. */
  async flush(): Promise<void> {
    const queues: SentBatch[][] = await this.#buffer.take();
    for (;;) {
      const round = queues.filter((queue) => queue.length > 0);
      const batches = round.map((queue) => queue.shift()).filter((batch) => batch !== undefined);
      if (batches.length === 0) return;
      const appended = await this.#producer.append(batches);
      for (const [i, outcome] of appended.entries()) {
        const batch = batches[i] as SentBatch;
        const listener = this.#buffer.listener(batch.topic);
        if ('from' in outcome) store(batch, outcome.from, listener);
        else round[i]?.unshift(...(await withoutRefused(batch, outcome, listener)));
      }
    }
  }

  /** Flushes and commits: readers see all added records at once. Records that are added meanwhile belong to the next transaction. */
  async commit(): Promise<void> {
    await this.flush();
    await this.#producer.end(true);
  }

  async close(): Promise<void> {
    this.#cluster.close();
    return Promise.resolve();
  }
}

function store(batch: SentBatch, from: number, listener: TopicListener | undefined): void {
  const { state, topic, partition, count, bytes, patients } = batch;
  state.end = from + count;
  listener?.stored({ topic, partition, from, to: state.end, bytes, patients });
}
