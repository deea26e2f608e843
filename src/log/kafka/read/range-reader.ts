import { backoff, sleep } from '../../../base/clock.ts';
import { HeadwaterError, isAbort } from '../../../base/errors.ts';
import { offset, stamp } from '../../../base/positions.ts';
import type { Offset } from '../../../base/positions.ts';
import type { LogReader, Partition, RecordBatch, StoredRecord, TopicIdentity } from '../../log.ts';
import { readBackward } from './backward.ts';
import type { Piece } from './backward.ts';
import { Cluster } from '../wire/cluster.ts';
import type { ClusterOptions } from '../wire/cluster.ts';
import { committedBatches } from './committed-batches.ts';
import { FetchQueue } from './fetch-queue.ts';
import { kafkaError } from '../wire/kafka-error.ts';
import * as protocol from '../wire/protocol.ts';
import type { TopicMetadata } from '../wire/protocol.ts';
import { code, ProtocolError } from '../wire/protocol-error.ts';
import { openBatch } from './record-batch-reader.ts';
import type { RawBatch } from './record-batch-reader.ts';

const LATEST = -1n;
const EARLIEST = -2n;
const FETCH_BYTES = 4 << 20;
const LONG_POLL = 1_000;
const ATTEMPTS = 8;
/** A minute in waits of 200 ms: the longest that a transaction may be open. */
const UNDECIDED_ATTEMPTS = 310;

/**
 * Reads committed records by offset. Role: the one way the log is read outside of work queues. Invariant: a record of an
 * aborted transaction is never handed out, and none of a committed one left out. Holds nothing that a crash could lose.
 */
export class RangeReader implements LogReader {
  readonly #options: ClusterOptions;
  readonly #cluster: Cluster;
  readonly #fetches: FetchQueue;
  readonly #followers = new Set<Cluster>();

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#cluster = new Cluster(options);
    this.#fetches = new FetchQueue(this.#cluster, 0);
  }

  async topics(names: readonly string[]): Promise<ReadonlyMap<string, TopicIdentity>> {
    const found = await retrying(undefined, () => this.#cluster.topics(names));
    const identity = ({ id, leaders }: TopicMetadata): TopicIdentity => ({ id, partitions: leaders.length });
    return new Map([...found].map(([name, topic]) => [name, identity(topic)]));
  }

  async ends(topic: string): Promise<readonly Offset[]> {
    return this.#listOffsets(topic, LATEST);
  }

  /** The first offset of each partition; it is above 0 if records were deleted. Compaction does not change it. */
  async starts(topic: string): Promise<readonly Offset[]> {
    return this.#listOffsets(topic, EARLIEST);
  }

  async offsetsAt(topic: string, timestamp: number): Promise<readonly Offset[]> {
    const [found, ends] = await Promise.all([this.#listOffsets(topic, BigInt(timestamp)), this.ends(topic)]);
    return ends.map((end, partition) => {
      const at = found[partition];
      return at === undefined || at > end ? end : at;
    });
  }

  async *follow(
    from: Partition & { readonly offset: Offset },
    signal: AbortSignal,
  ): AsyncIterable<readonly StoredRecord[]> {
    // The broker answers a connection's requests in order, so a waiting fetch must have a connection of its own.
    const cluster = new Cluster(this.#options);
    this.#followers.add(cluster);
    const fetches = new FetchQueue(cluster, LONG_POLL);
    const close = (): void => cluster.close();
    signal.addEventListener('abort', close, { once: true });
    try {
      let next: number = from.offset;
      while (!signal.aborted) {
        const at = { from: next, maxBytes: FETCH_BYTES };
        const piece = await retrying(signal, () => fetchPiece(fetches, from, at));
        next = piece.next;
        for (const batch of piece.batches) {
          const records = storedRecords(batch, from.offset, Number.MAX_SAFE_INTEGER);
          if (records.length > 0) yield records;
        }
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      signal.removeEventListener('abort', close);
      this.#followers.delete(cluster);
      cluster.close();
    }
  }

  async *read(
    range: Partition & { readonly from: Offset; readonly to: Offset },
    signal: AbortSignal,
  ): AsyncIterable<readonly StoredRecord[]> {
    for (let next: number = range.from; next < range.to;) {
      const piece = await this.fetchPiece(
        range,
        { from: next, maxBytes: FETCH_BYTES, until: range.to },
        signal,
      );
      for (const batch of piece.batches) {
        const records = storedRecords(batch, range.from, range.to);
        if (records.length > 0) yield records;
      }
      if (piece.next === next) return; // the given end was too high
      next = piece.next;
    }
  }

  readBackward(
    range: Partition & { readonly from: Offset; readonly to: Offset },
    signal: AbortSignal,
  ): AsyncIterable<RecordBatch> {
    return readBackward((at) => this.fetchPiece(range, at, signal), range);
  }

  /**
   * One fetch from an offset on: what is committed, up to about `maxBytes` (one batch at least). Retries what may pass.
   * A transaction's markers reach its partitions one after the other, so a reader who learned of it by one partition may
   * come to another too early; `until` says how far it must be decided.
   */
  async fetchPiece(
    partition: Partition,
    at: { from: number; maxBytes: number; until: number },
    signal: AbortSignal,
  ): Promise<Piece> {
    for (let waited = 0; ; waited++) {
      const { lastStableOffset, ...piece } = await retrying(signal, () =>
        fetchPiece(this.#fetches, partition, at),
      );
      if (piece.next > at.from || lastStableOffset >= at.until) return piece;
      if (waited >= UNDECIDED_ATTEMPTS) {
        throw new HeadwaterError(
          'unavailable',
          `${partition.topic}/${partition.partition} is not decided up to ${at.until}`,
        );
      }
      await sleep(Math.min(200, 2 ** waited), signal);
    }
  }

  async close(): Promise<void> {
    for (const cluster of [this.#cluster, ...this.#followers]) cluster.close();
    return Promise.resolve();
  }

  async #listOffsets(topic: string, timestamp: bigint): Promise<Offset[]> {
    return retrying(undefined, async () => {
      const partitions = await this.#cluster.partitions(topic);
      if (!partitions) return [];
      const offsets: Offset[] = [];
      const ends = timestamp === LATEST ? undefined : await this.#listOffsets(topic, LATEST);
      const byLeader = new Map<string, number[]>();
      for (const partition of partitions) {
        const leader = await this.#cluster.leader(topic, partition);
        byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition]);
      }
      for (const [leader, asked] of byLeader) {
        const call = protocol.listOffsets(topic, asked, timestamp);
        const answered = await this.#cluster.call(leader, call).catch((error: unknown) => {
          this.#cluster.forget(topic);
          throw error;
        });
        for (const { partition, offset: found } of answered)
          offsets[partition] = found < 0n ? (ends?.[partition] ?? offset(0)) : offset(found);
      }
      if (partitions.some((partition) => offsets[partition] === undefined))
        throw new HeadwaterError('unavailable', `Kafka's answer lacks partitions of ${topic}`, {
          subject: topic,
        });
      return offsets;
    });
  }
}

async function fetchPiece(
  fetches: FetchQueue,
  { topic, partition }: Partition,
  { from, maxBytes }: { readonly from: number; readonly maxBytes: number },
): Promise<Piece & { readonly lastStableOffset: number }> {
  const fetched = await fetches.fetch({ topic, partition, from, maxBytes });
  if (fetched.errorCode !== 0) fetches.forget(topic);
  throwOnError(fetched.errorCode, { topic, partition }, from);
  const { records, release, lastStableOffset } = fetched;
  return { ...committedBatches(fetched, from), bytes: records.length, release, lastStableOffset };
}

function storedRecords(batch: RawBatch, from: number, to: number): StoredRecord[] {
  const set = openBatch(batch);
  const records: StoredRecord[] = [];
  for (let i = 0; i < set.count; i++) {
    const at = set.offset(i);
    if (at < from || at >= to) continue;
    records.push({
      offset: offset(at),
      timestamp: stamp(set.timestamp(i)),
      key: set.key(i),
      value: set.value(i),
    });
  }
  return records;
}

function throwOnError(errorCode: number, { topic, partition }: Partition, from: number): void {
  if (errorCode === 0) return;
  if (errorCode === code.OFFSET_OUT_OF_RANGE) {
    const where = `${topic}/${partition}`;
    throw new HeadwaterError('gone', `${where} does not hold offset ${from} (deleted or never written)`, {
      subject: where,
    });
  }
  throw kafkaError(new ProtocolError('Fetch', errorCode, { topic }), `reading ${topic}/${partition}`);
}

/** Repeats a call for some seconds, because a broker that restarts is away as long. The caller decides about a longer outage. */
async function retrying<T>(signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      const passing = error instanceof HeadwaterError && error.retryable;
      if (!passing || attempt >= ATTEMPTS || signal?.aborted === true) throw error;
      await sleep(backoff(attempt, Math.random, 100, 4_000), signal ?? new AbortController().signal);
    }
  }
}
