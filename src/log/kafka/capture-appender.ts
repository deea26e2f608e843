import { setTimeout as delay } from 'node:timers/promises';
import { HeadwaterError } from '../../base/errors.ts';
import type { StoredBatch } from '../log.ts';
import { Cluster, protocolCode } from './cluster.ts';
import type { ClusterOptions } from './cluster.ts';
import { errorName } from './error-names.ts';
import { murmur2 } from './murmur2.ts';
import * as protocol from './protocol.ts';
import type { ProducerIdentity } from './protocol.ts';
import { CONCURRENT_TRANSACTIONS } from './protocol-error.ts';
import { BatchBuilder } from './record-batch-writer.ts';

/** Raw bytes at which a batch is closed; a larger record is a batch of its own. Also what replay holds decompressed at a time. */
const BATCH_BYTES = 128 << 10;
/** Compressed bytes in one produce request, well under the broker's socket.request.max.bytes (100 MiB). */
const REQUEST_BYTES = 24 << 20;
const TRANSACTION_TIMEOUT = 60_000;
const PRODUCE_TIMEOUT = 30_000;
const COORDINATOR_BUSY = new Set([14, 15, 16, CONCURRENT_TRANSACTIONS]);
const FENCED = new Set([47, 90]);
const BUSY_PATIENCE = 20_000;

interface PartitionState {
  readonly topic: string;
  readonly partition: number;
  sequence: number;
  end: number;
  open: OpenBatch;
  full: OpenBatch[];
  inTransaction: boolean;
}

/** A batch of a partition while it is filled. */
interface OpenBatch {
  readonly builder: BatchBuilder;
  patients: Set<string> | undefined;
}

interface Finished {
  readonly state: PartitionState;
  readonly batch: Buffer;
  readonly count: number;
  /** Raw. */
  readonly bytes: number;
  readonly patients: ReadonlySet<string> | undefined;
}

function openBatch(initialBytes?: number): OpenBatch {
  return { builder: new BatchBuilder(initialBytes), patients: undefined };
}

/**
 * The writer of the resource topics: one transactional producer that knows, after `flush`, where every partition it wrote
 * to ends. Opening it fences whoever held the transactional id before. Any error is final for the instance: close it, open
 * another, read back what is stored, go on from there. One transaction is open from the first `add` to `commit`.
 */
export class CaptureAppender {
  readonly #cluster: Cluster;
  readonly #transactionalId: string;
  readonly #producer: ProducerIdentity;
  readonly #coordinator: string;
  /** In ms. */
  readonly transactionTimeoutMs: number;
  readonly #partitions = new Map<string, PartitionState[]>();
  #pendingBytes = 0;
  #onStored: ((batch: StoredBatch) => void) | undefined;
  #opened = false;
  /** When Kafka opened the transaction, by `performance.now()`. */
  #openSince: number | undefined;

  private constructor(
    cluster: Cluster,
    transaction: { readonly id: string; readonly timeoutMs: number },
    producer: ProducerIdentity,
    coordinator: string,
  ) {
    this.#cluster = cluster;
    this.#transactionalId = transaction.id;
    this.transactionTimeoutMs = transaction.timeoutMs;
    this.#producer = producer;
    this.#coordinator = coordinator;
  }

  /** @param timeoutMs after which Kafka aborts a transaction */
  static async open(
    options: ClusterOptions,
    transactionalId: string,
    timeoutMs = TRANSACTION_TIMEOUT,
  ): Promise<CaptureAppender> {
    const cluster = new Cluster(options);
    try {
      return await patiently(async () => {
        const coordinator = await cluster.coordinator(transactionalId);
        const call = protocol.initProducerId(transactionalId, timeoutMs);
        return new CaptureAppender(
          cluster,
          { id: transactionalId, timeoutMs },
          await cluster.call(coordinator, call),
          coordinator,
        );
      });
    } catch (error) {
      cluster.close();
      throw error;
    }
  }

  /** Raw bytes added and not yet flushed. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** For how long Kafka has held the transaction open, in ms; 0 while it holds none. */
  get openMs(): number {
    return this.#openSince === undefined ? 0 : performance.now() - this.#openSince;
  }

  /** Learns of a topic before the first record for it; its records go to murmur2(key) mod `partitions`. */
  declare(topic: string, ends: readonly number[]): void {
    // Its sequence numbers would begin anew, and the broker would take new batches for repeated ones.
    if (this.#partitions.has(topic)) throw new HeadwaterError('internal', `${topic} was declared before`);
    this.#partitions.set(
      topic,
      ends.map((end, partition) => ({
        topic,
        partition,
        sequence: 0,
        end,
        open: openBatch(),
        full: [],
        inTransaction: false,
      })),
    );
  }

  declared(topic: string): boolean {
    return this.#partitions.has(topic);
  }

  /** Where the partitions of a topic end, counting what was flushed. */
  ends(topic: string): readonly number[] {
    return (this.#partitions.get(topic) ?? []).map((state) => state.end);
  }

  /** Told of each batch when it is stored, in the order of a partition's offsets. */
  set onStored(listener: (batch: StoredBatch) => void) {
    this.#onStored = listener;
  }

  /** Copies a record in, and notes the patients it is about. Flush when `pendingBytes` is large. */
  add(
    topic: string,
    record: { readonly timestamp: number; readonly key: Uint8Array; readonly value: Uint8Array },
    patients?: readonly string[],
  ): void {
    const states = this.#partitions.get(topic);
    const state = states?.[(murmur2(record.key) & 0x7fffffff) % states.length];
    if (!state) throw new HeadwaterError('internal', `${topic} was not declared`);
    const bytes = record.key.length + record.value.length;
    if (state.open.builder.count > 0 && state.open.builder.bytes + bytes > BATCH_BYTES) {
      state.full.push(state.open);
      state.open = openBatch(Math.max(bytes + 64, BATCH_BYTES + (BATCH_BYTES >> 3)));
    }
    state.open.builder.add(record.timestamp, record.key, record.value);
    if (patients) {
      state.open.patients ??= new Set();
      for (const patient of patients) state.open.patients.add(patient);
    }
    this.#pendingBytes += bytes;
    this.#opened = true;
  }

  /** Sends everything added so far. Records are stored, but not yet committed, when it resolves. Never call it twice at once. */
  async flush(): Promise<void> {
    const pending: { state: PartitionState; open: OpenBatch[] }[] = [];
    for (const states of this.#partitions.values()) {
      for (const state of states) {
        if (state.open.builder.count === 0) continue;
        pending.push({ state, open: [...state.full, state.open] });
        state.full = [];
        state.open = openBatch();
      }
    }
    this.#pendingBytes = 0;
    if (pending.length === 0) return;
    const [, finished] = await Promise.all([
      this.#addPartitions(pending.map(({ state }) => state)),
      Promise.all(pending.map(({ state, open }) => this.#finish(state, open))),
    ]);
    for (let round = 0; ; round++) {
      const batches = finished.flatMap((all) => all[round] ?? []);
      if (batches.length === 0) return;
      await this.#produce(batches);
    }
  }

  /** Flushes and commits; what was added becomes visible to readers as a whole. What is added meanwhile is the next one's. */
  async commit(): Promise<void> {
    const opened = this.#opened;
    this.#opened = false;
    await this.flush();
    if (!opened) return;
    await this.#end(true);
    this.#openSince = undefined;
    for (const states of this.#partitions.values()) for (const state of states) state.inTransaction = false;
  }

  async close(): Promise<void> {
    this.#cluster.close();
    return Promise.resolve();
  }

  #finish(state: PartitionState, open: readonly OpenBatch[]): Promise<Finished[]> {
    return Promise.all(
      open.map(async ({ builder, patients }) => {
        const { count, bytes } = builder;
        const sequence = state.sequence;
        state.sequence += count;
        return { state, count, bytes, patients, batch: await builder.finish(this.#producer, sequence) };
      }),
    );
  }

  async #produce(batches: readonly Finished[]): Promise<void> {
    const byLeader = new Map<string, Finished[]>();
    for (const one of batches) {
      const leader = await this.#cluster.leader(one.state.topic, one.state.partition);
      const list = byLeader.get(leader);
      if (list) list.push(one);
      else byLeader.set(leader, [one]);
    }
    await Promise.all(
      [...byLeader].map(async ([leader, list]) => {
        for (const request of chunks(list)) await this.#produceRequest(leader, request);
      }),
    );
  }

  async #produceRequest(leader: string, request: readonly Finished[]): Promise<void> {
    const batches = request.map(({ state: { topic, partition }, batch }) => ({ topic, partition, batch }));
    const answer = await this.#cluster.call(
      leader,
      protocol.produce(this.#transactionalId, PRODUCE_TIMEOUT, batches),
    );
    for (const { topic, partition, errorCode, baseOffset } of answer) {
      if (errorCode !== 0) throw produceError(errorCode, topic, partition);
      const sent = request.find(({ state }) => state.topic === topic && state.partition === partition);
      if (!sent) continue;
      const { bytes, patients, count } = sent;
      sent.state.end = baseOffset + count;
      this.#onStored?.({ topic, partition, from: baseOffset, to: sent.state.end, bytes, patients });
    }
  }

  async #addPartitions(states: readonly PartitionState[]): Promise<void> {
    const added = states.filter((state) => !state.inTransaction);
    if (added.length === 0) return;
    this.#openSince ??= performance.now();
    const call = protocol.addPartitionsToTransaction(this.#transactionalId, this.#producer, added);
    await patiently(() => this.#cluster.call(this.#coordinator, call));
    for (const state of added) state.inTransaction = true;
  }

  async #end(commit: boolean): Promise<void> {
    const call = protocol.endTransaction(this.#transactionalId, this.#producer, commit);
    await patiently(() => this.#cluster.call(this.#coordinator, call));
  }
}

function* chunks(list: readonly Finished[]): Iterable<Finished[]> {
  let chunk: Finished[] = [];
  let bytes = 0;
  for (const one of list) {
    if (chunk.length > 0 && bytes + one.batch.length > REQUEST_BYTES) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(one);
    bytes += one.batch.length;
  }
  if (chunk.length > 0) yield chunk;
}

function produceError(code: number, topic: string, partition: number): HeadwaterError {
  const where = `${topic}/${partition}`;
  if (FENCED.has(code))
    return new HeadwaterError('fenced', 'another capture has taken over', { subject: where });
  return new HeadwaterError(
    'unavailable',
    `Kafka answers error ${code} (${errorName(code)}) to an append to ${where}`,
    {
      subject: where,
    },
  );
}

/**
 * The coordinator is still writing the last transaction's markers when the next begins; it says so, and is asked again
 * within milliseconds (a general client waits a retry delay of some hundred).
 */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + BUSY_PATIENCE;
  for (let wait = 1; ; wait = Math.min(50, wait * 2)) {
    try {
      return await call();
    } catch (error) {
      const code = protocolCode(error) ?? 0;
      if (FENCED.has(code))
        throw new HeadwaterError('fenced', 'another capture has taken over', { cause: error });
      if (!COORDINATOR_BUSY.has(code) || Date.now() > deadline) throw error;
      await delay(wait);
    }
  }
}
