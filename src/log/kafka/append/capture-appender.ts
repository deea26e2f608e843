import { HeadwaterError } from '../../../base/errors.ts';
import type { RefusedRecord, StoredBatch } from '../../log.ts';
import { Cluster } from '../wire/cluster.ts';
import type { ClusterOptions } from '../wire/cluster.ts';
import { murmur2 } from '../wire/murmur2.ts';
import { Producer } from './producer.ts';
import type { Batch } from './producer.ts';
import { openBatch, splitBatches } from '../read/record-batch-reader.ts';
import { BatchBuilder } from './record-batch-writer.ts';

/** Raw bytes at which a batch is closed; a larger record is a batch of its own. Also what replay holds decompressed at a time. */
const BATCH_BYTES = 128 << 10;
/** ms */
const TRANSACTION_TIMEOUT = 60_000;

interface PartitionState {
  readonly topic: string;
  readonly partition: number;
  end: number;
  open: OpenBatch;
  full: OpenBatch[];
}

/** A batch of a partition while it is filled. */
interface OpenBatch {
  readonly builder: BatchBuilder;
  patients: Set<string> | undefined;
}

interface Finished extends Batch {
  readonly state: PartitionState;
  /** Raw. */
  readonly bytes: number;
  readonly patients: ReadonlySet<string> | undefined;
  /** It holds one record, which stands for one that was refused. */
  readonly replaced?: boolean;
}

interface AppendedRecord {
  readonly timestamp: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * The writer of the resource topics: one transactional producer that knows, after `flush`, where every partition it wrote
 * to ends. Opening it fences whoever held the transactional id before. Any error is final for the instance: close it, open
 * another, read back what is stored, go on from there. One transaction is open from the first `flush` to `commit`.
 */
export class CaptureAppender {
  readonly #cluster: Cluster;
  readonly #producer: Producer;
  readonly #partitions = new Map<string, PartitionState[]>();
  /** In ms. */
  readonly transactionTimeoutMs: number;
  #pendingBytes = 0;
  #onStored: ((batch: StoredBatch) => void) | undefined;
  #onRefused: ((record: RefusedRecord) => Uint8Array | undefined) | undefined;

  private constructor(cluster: Cluster, producer: Producer, timeoutMs: number) {
    this.#cluster = cluster;
    this.#producer = producer;
    this.transactionTimeoutMs = timeoutMs;
  }

  /** @param timeoutMs after which Kafka aborts a transaction */
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
    return this.#pendingBytes;
  }

  /** For how long Kafka has held the transaction open, in ms; 0 while it holds none. */
  get openMs(): number {
    return this.#producer.openMs;
  }

  /** Learns of a topic before the first record for it; its records go to murmur2(key) mod `partitions`. */
  declare(topic: string, ends: readonly number[]): void {
    if (this.#partitions.has(topic)) throw new HeadwaterError('internal', `${topic} was declared before`);
    this.#partitions.set(
      topic,
      ends.map((end, partition) => ({ topic, partition, end, open: newBatch(), full: [] })),
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

  /**
   * Asked what to store instead of a record that Kafka will never take, under the same key; undefined fails the flush with an
   * error that names the record. Without a listener every such record does.
   */
  set onRefused(listener: (record: RefusedRecord) => Uint8Array | undefined) {
    this.#onRefused = listener;
  }

  /** Copies a record in, and notes the patients it is about. Flush when `pendingBytes` is large. */
  add(topic: string, record: AppendedRecord, patients?: readonly string[]): void {
    const states = this.#partitions.get(topic);
    const state = states?.[(murmur2(record.key) & 0x7fffffff) % states.length];
    if (!state) throw new HeadwaterError('internal', `${topic} was not declared`);
    const bytes = record.key.length + record.value.length;
    if (state.open.builder.count > 0 && state.open.builder.bytes + bytes > BATCH_BYTES) {
      state.full.push(state.open);
      state.open = newBatch(Math.max(bytes + 64, BATCH_BYTES + (BATCH_BYTES >> 3)));
    }
    state.open.builder.add(record.timestamp, record.key, record.value);
    if (patients) {
      state.open.patients ??= new Set();
      for (const patient of patients) state.open.patients.add(patient);
    }
    this.#pendingBytes += bytes;
  }

  /** Sends everything added so far. Records are stored, but not yet committed, when it resolves. Never call it twice at once. */
  async flush(): Promise<void> {
    const pending: { state: PartitionState; open: OpenBatch[] }[] = [];
    for (const states of this.#partitions.values()) {
      for (const state of states) {
        if (state.open.builder.count === 0) continue;
        pending.push({ state, open: [...state.full, state.open] });
        state.full = [];
        state.open = newBatch();
      }
    }
    this.#pendingBytes = 0;
    const queues = await Promise.all(
      pending.map(({ state, open }) => Promise.all(open.map((one) => finish(state, one)))),
    );
    for (;;) {
      const round = queues.filter((queue) => queue.length > 0);
      const batches = round.map((queue) => queue.shift()).filter((batch) => batch !== undefined);
      if (batches.length === 0) return;
      const appended = await this.#producer.append(batches);
      for (const [i, outcome] of appended.entries()) {
        const batch = batches[i] as Finished;
        if ('from' in outcome) this.#stored(batch, outcome.from);
        else round[i]?.unshift(...(await this.#instead(batch, outcome)));
      }
    }
  }

  /** Flushes and commits; what was added becomes visible to readers as a whole. What is added meanwhile is the next one's. */
  async commit(): Promise<void> {
    await this.flush();
    await this.#producer.end(true);
  }

  async close(): Promise<void> {
    this.#cluster.close();
    return Promise.resolve();
  }

  #stored({ state, topic, partition, count, bytes, patients }: Finished, from: number): void {
    state.end = from + count;
    this.#onStored?.({ topic, partition, from, to: state.end, bytes, patients });
  }

  /** What to send instead of a refused batch: the records in it that are no fault alone, in the same order. */
  async #instead(
    batch: Finished,
    { refused, places }: { refused: HeadwaterError; places: readonly number[] },
  ): Promise<Finished[]> {
    const records = recordsOf(batch);
    const guilty = new Set(batch.count === 1 ? [0] : places);
    if (guilty.size === 0) {
      const middle = records.length >> 1;
      return Promise.all(
        [records.slice(0, middle), records.slice(middle)].map((part) => rebuilt(batch, part)),
      );
    }
    // Each by itself, so that one which is refused again is known as such.
    const groups: { records: AppendedRecord[]; replaced: boolean }[] = [];
    for (const [place, record] of records.entries()) {
      const last = groups.at(-1);
      if (guilty.has(place)) {
        if (batch.replaced === true) throw nameRefused(batch.topic, record, refused);
        const value = this.#onRefused?.({ topic: batch.topic, ...record, reason: refused });
        if (!value) throw nameRefused(batch.topic, record, refused);
        groups.push({ records: [{ ...record, value }], replaced: true });
      } else if (last?.replaced === false) last.records.push(record);
      else groups.push({ records: [record], replaced: false });
    }
    return Promise.all(groups.map((group) => rebuilt(batch, group.records, group.replaced)));
  }
}

function newBatch(initialBytes?: number): OpenBatch {
  return { builder: new BatchBuilder(initialBytes), patients: undefined };
}

async function finish(state: PartitionState, { builder, patients }: OpenBatch): Promise<Finished> {
  const { count, bytes } = builder;
  const { topic, partition } = state;
  return { state, topic, partition, count, bytes, patients, batch: await builder.finish() };
}

function recordsOf({ batch }: Finished): AppendedRecord[] {
  return splitBatches(batch).flatMap((raw) => {
    const set = openBatch(raw);
    return Array.from({ length: set.count }, (_, i) => ({
      timestamp: set.timestamp(i),
      key: set.key(i),
      value: set.value(i),
    }));
  });
}

async function rebuilt(
  { state, patients }: Finished,
  records: readonly AppendedRecord[],
  replaced = false,
): Promise<Finished> {
  const open = { builder: new BatchBuilder(), patients: patients && new Set(patients) };
  for (const { timestamp, key, value } of records) open.builder.add(timestamp, key, value);
  return { ...(await finish(state, open)), replaced };
}

function nameRefused(topic: string, { key }: AppendedRecord, cause: HeadwaterError): HeadwaterError {
  const name = Buffer.from(key).toString();
  return new HeadwaterError(
    cause.code,
    `Kafka does not take the record ${name} of ${topic}: ${cause.message}`,
    {
      cause,
      subject: name,
    },
  );
}
