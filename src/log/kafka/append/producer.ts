import { HeadwaterError } from '../../../base/errors.ts';
import type { Cluster } from '../wire/cluster.ts';
import { kafkaError } from '../wire/kafka-error.ts';
import { code, isRefusalOfRecords, protocolCode, ProtocolError } from '../wire/protocol-error.ts';
import { coordinate, isPassing, patiently } from '../wire/patience.ts';
import * as protocol from '../wire/protocol-write.ts';
import type { ProduceBatch, ProducerIdentity } from '../wire/protocol-write.ts';
import type { Call, InTopic } from '../wire/protocol.ts';
import { claim, sequenceAfter } from './record-batch-writer.ts';

/** Compressed bytes in one produce request, well under the broker's socket.request.max.bytes (100 MiB). */
const REQUEST_BYTES = 24 << 20;

const LOST: ReadonlySet<number> = new Set([
  code.INVALID_PRODUCER_EPOCH,
  code.PRODUCER_FENCED,
  code.INVALID_TXN_STATE,
]);

export interface ProducerOptions {
  /** The producer becomes the only holder of this id; without it there are no transactions. */
  readonly transactionalId?: string;
  /** ms after which Kafka aborts a transaction that was not ended. */
  readonly transactionTimeout?: number;
}

/** A finished batch that is to be appended. */
export interface Batch extends ProduceBatch {
  readonly count: number;
}

export type Appended =
  | { readonly from: number }
  /** Kafka never takes the batch, because of the records at these places. If there are no places, Kafka did not name the records. */
  | { readonly refused: HeadwaterError; readonly places: readonly number[] };

/** A batch on its way. */
interface Sent extends Batch {
  readonly index: number;
}

/**
 * Appends batches to partitions, all of them and each once, and holds their transaction. If a leader or coordinator has moved or gone
 * without an answer, the same bytes are sent again with the same sequence numbers, so a broker that has them stores nothing. Each partition
 * in a request must be in an answer.
 *
 * Opening with a transactional id fences the earlier holder and decides its transaction. Any error except a refusal is final: close this
 * producer, open another, and read what is stored. One call at a time.
 */
export class Producer {
  readonly #cluster: Cluster;
  readonly #options: ProducerOptions;
  readonly #identity: ProducerIdentity;
  readonly #sequences = new Map<string, number>();
  /** Partitions that are in the open transaction. */
  readonly #added = new Set<string>();
  #openSince: number | undefined;

  private constructor(cluster: Cluster, options: ProducerOptions, identity: ProducerIdentity) {
    this.#cluster = cluster;
    this.#options = options;
    this.#identity = identity;
  }

  static async open(cluster: Cluster, options: ProducerOptions = {}): Promise<Producer> {
    const { transactionalId, transactionTimeout = 0 } = options;
    const call = protocol.initProducerId(transactionalId, transactionTimeout);
    const identity =
      transactionalId === undefined
        ? await patiently(cluster, () => cluster.callAny(call))
        : await coordinate(cluster, { kind: 'transaction', key: transactionalId }, call);
    return new Producer(cluster, options, identity);
  }

  /** For how long Kafka has held the transaction open, in ms; 0 while it holds none. At `transactionTimeout` it aborts it. */
  get openMs(): number {
    return this.#openSince === undefined ? 0 : performance.now() - this.#openSince;
  }

  /** Appends at most one batch to each partition. Resolves, in the same order, to the place of each batch or the reason why Kafka never takes it. */
  async append(batches: readonly Batch[]): Promise<readonly Appended[]> {
    try {
      await this.#addPartitions(batches);
      return await this.#appendAll(batches);
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  /** The group goes on from `next` when the transaction is committed. */
  async sendOffset(group: string, partition: InTopic, next: number): Promise<void> {
    try {
      this.#openSince ??= performance.now();
      await this.#coordinateTransaction(protocol.addOffsetsToTransaction(this.#transaction(), group));
      const call = protocol.commitOffsetInTransaction(this.#transaction(), group, { ...partition, next });
      await coordinate(this.#cluster, { kind: 'group', key: group }, call);
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  /** Ends the transaction, if one is open. */
  async end(commit: boolean): Promise<void> {
    if (this.#openSince === undefined) return;
    try {
      await this.#coordinateTransaction(protocol.endTransaction(this.#transaction(), commit));
    } catch (error) {
      throw await this.#explain(error);
    }
    this.#openSince = undefined;
    this.#added.clear();
  }

  /** Aborts the transaction after an error, so that readers need not wait; leaves it to the next holder where Kafka is away. */
  async abandon(error: unknown): Promise<void> {
    const away = error instanceof HeadwaterError && (error.retryable || error.code === 'fenced');
    if (!away) await this.end(false).catch(() => undefined);
  }

  async #addPartitions(batches: readonly Batch[]): Promise<void> {
    if (this.#options.transactionalId === undefined) return;
    const added = batches.filter((batch) => !this.#added.has(nameOf(batch)));
    if (added.length === 0) return;
    this.#openSince ??= performance.now();
    await this.#coordinateTransaction(protocol.addPartitionsToTransaction(this.#transaction(), added));
    for (const batch of added) this.#added.add(nameOf(batch));
  }

  async #appendAll(batches: readonly Batch[]): Promise<readonly Appended[]> {
    const transactional = this.#options.transactionalId !== undefined;
    for (const one of batches)
      claim(one.batch, { ...this.#identity, transactional }, this.#sequences.get(nameOf(one)) ?? 0);
    const appended = new Map<number, Appended>();
    let left: readonly Sent[] = batches.map((batch, index) => ({ ...batch, index }));
    await patiently(this.#cluster, async () => {
      const { failure, failed } = await this.#attempt(left, appended);
      left = failed;
      if (failure !== undefined) throw failure;
    });
    return batches.map((one, index) => {
      const outcome = appended.get(index);
      if (!outcome) throw new HeadwaterError('internal', `nothing became of a batch for ${nameOf(one)}`);
      const sequence = this.#sequences.get(nameOf(one)) ?? 0;
      if ('from' in outcome) this.#sequences.set(nameOf(one), sequenceAfter(sequence, one.count));
      return outcome;
    });
  }

  /** Sends each batch once. Returns the batches without a result and the reasons; those that will not pass come first. */
  async #attempt(
    batches: readonly Sent[],
    appended: Map<number, Appended>,
  ): Promise<{ failure?: HeadwaterError; failed: readonly Sent[] }> {
    const failures: HeadwaterError[] = [];
    const failed: Sent[] = [];
    const fail = (error: unknown, sent: readonly Sent[]): void => {
      failures.push(kafkaError(error, `appending to ${sent[0]?.topic ?? ''}`));
      failed.push(...sent);
    };
    const byLeader = new Map<string, Sent[]>();
    for (const one of batches) {
      try {
        const leader = await this.#cluster.leader(one.topic, one.partition);
        byLeader.set(leader, [...(byLeader.get(leader) ?? []), one]);
      } catch (error) {
        fail(error, [one]);
      }
    }
    await Promise.all(
      [...byLeader].map(async ([leader, list]) => {
        for (const request of requests(list)) {
          try {
            await this.#send(leader, request, { appended, fail });
          } catch (error) {
            fail(error, request);
          }
        }
      }),
    );
    const failure = failures.find((error) => !isPassing(error)) ?? failures[0];
    return failure === undefined ? { failed } : { failure, failed };
  }

  async #send(
    leader: string,
    request: readonly Sent[],
    to: { appended: Map<number, Appended>; fail: (error: unknown, sent: readonly Sent[]) => void },
  ): Promise<void> {
    const { transactionalId } = this.#options;
    const answer = await this.#cluster.call(leader, protocol.produce(transactionalId, request));
    for (const one of request) {
      const { topic, partition, index } = one;
      const answered = answer.find((part) => part.topic === topic && part.partition === partition);
      if (answered?.errorCode === 0) {
        to.appended.set(index, { from: answered.baseOffset });
        continue;
      }
      if (!answered) {
        to.fail(new HeadwaterError('unavailable', `Kafka's answer lacks ${nameOf(one)}`), [one]);
        continue;
      }
      const error = kafkaError(
        new ProtocolError('Produce', answered.errorCode, { topic }),
        `appending to ${nameOf(one)}`,
      );
      if (isRefusalOfRecords(answered.errorCode)) {
        to.appended.set(index, { refused: error, places: answered.refused });
        continue;
      }
      this.#cluster.forget(topic);
      to.fail(error, [one]);
    }
  }

  #transaction(): protocol.InTransaction {
    const { transactionalId } = this.#options;
    if (transactionalId === undefined)
      throw new HeadwaterError('internal', 'a producer without a transactional id has no transactions');
    return { ...this.#identity, transactionalId };
  }

  #coordinateTransaction<T>(call: Call<T>): Promise<T> {
    return coordinate(this.#cluster, { kind: 'transaction', key: this.#transaction().transactionalId }, call);
  }

  /** Returns the reason why the transaction is lost, if it is. Kafka gives the same answer to a producer that was replaced and to one that was too slow. */
  async #explain(error: unknown): Promise<unknown> {
    const { transactionalId, transactionTimeout = 0 } = this.#options;
    if (transactionalId === undefined || !LOST.has(protocolCode(error) ?? 0)) return error;
    const late = this.openMs >= transactionTimeout;
    if (late && !(await this.#isReplaced(transactionalId))) {
      const message = `the transaction of ${transactionalId} was open longer than ${transactionTimeout / 1000} s, so Kafka has aborted it`;
      return new HeadwaterError('unavailable', message, { cause: error, subject: transactionalId });
    }
    if (protocolCode(error) === code.INVALID_TXN_STATE) return error;
    const message = `another process has taken over the transactional id ${transactionalId}`;
    return new HeadwaterError('fenced', message, { cause: error, subject: transactionalId });
  }

  /** Kafka counts the epoch up by one when it aborts a transaction that is too old, by one more for each new holder. */
  async #isReplaced(transactionalId: string): Promise<boolean> {
    const { producerId, producerEpoch } = this.#identity;
    try {
      const holder = { kind: 'transaction', key: transactionalId } as const;
      const now = await coordinate(this.#cluster, holder, protocol.describeTransaction(transactionalId));
      return now.producerId !== producerId || now.producerEpoch > producerEpoch + 1;
    } catch {
      return false; // the next holder finds out
    }
  }
}

function nameOf({ topic, partition }: InTopic): string {
  return `${topic}/${partition}`;
}

function* requests(list: readonly Sent[]): Iterable<Sent[]> {
  let request: Sent[] = [];
  let bytes = 0;
  for (const one of list) {
    if (request.length > 0 && bytes + one.batch.length > REQUEST_BYTES) {
      yield request;
      request = [];
      bytes = 0;
    }
    request.push(one);
    bytes += one.batch.length;
  }
  if (request.length > 0) yield request;
}
