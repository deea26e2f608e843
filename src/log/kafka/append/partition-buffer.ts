import { HeadwaterError } from '../../../base/errors.ts';
import type { TopicListener } from '../../log.ts';
import { partitionOf } from '../../partition-of.ts';
import type { Batch } from './producer.ts';
import { BatchBuilder } from './record-batch-writer.ts';

/**
 * Raw bytes at which a batch is closed. A larger record is a batch of its own. Replay decompresses one batch at a time: half as many bytes
 * cost half as much again to decompress, twice as many make narrow exports read more than they need.
 */
const BATCH_BYTES = 256 << 10;

export interface AppendedRecord {
  readonly timestamp: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A partition as the appender knows it. */
export interface PartitionState {
  readonly topic: string;
  readonly partition: number;
  /** The offset after the last stored record. */
  end: number;
}

/** A batch that is complete and compressed. */
export interface FinishedBatch extends Batch {
  readonly state: PartitionState;
  /** Raw. */
  readonly bytes: number;
  readonly patients: ReadonlySet<string> | undefined;
}

interface OpenBatch {
  readonly builder: BatchBuilder;
  patients: Set<string> | undefined;
}

interface Buffered extends PartitionState {
  open: OpenBatch;
  full: OpenBatch[];
}

/** Holds added records in batches, one list for each partition, until they are taken to be sent. */
export class PartitionBuffer {
  readonly #topics = new Map<string, Buffered[]>();
  readonly #listeners = new Map<string, TopicListener>();
  #bytes = 0;

  /** Raw bytes added and not yet taken. */
  get bytes(): number {
    return this.#bytes;
  }

  declare(topic: string, ends: readonly number[]): void {
    if (this.#topics.has(topic)) throw new HeadwaterError('internal', `${topic} was declared before`);
    this.#topics.set(
      topic,
      ends.map((end, partition) => ({ topic, partition, end, open: newBatch(), full: [] })),
    );
  }

  declared(topic: string): boolean {
    return this.#topics.has(topic);
  }

  ends(topic: string): readonly number[] {
    return (this.#topics.get(topic) ?? []).map((state) => state.end);
  }

  listen(topic: string, listener: TopicListener): void {
    this.#listeners.set(topic, listener);
  }

  listener(topic: string): TopicListener | undefined {
    return this.#listeners.get(topic);
  }

  add(topic: string, record: AppendedRecord, patients?: readonly string[]): void {
    const partitions = this.#topics.get(topic);
    const state = partitions?.[partitionOf(record.key, partitions.length)];
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
    this.#bytes += bytes;
  }

  /** Takes all records out, compressed: the batches of each partition in order. */
  take(): Promise<FinishedBatch[][]> {
    const queues: Promise<FinishedBatch[]>[] = [];
    for (const partitions of this.#topics.values()) {
      for (const state of partitions) {
        if (state.open.builder.count === 0) continue;
        const batches = [...state.full, state.open];
        queues.push(Promise.all(batches.map((batch) => finish(state, batch))));
        state.full = [];
        state.open = newBatch();
      }
    }
    this.#bytes = 0;
    return Promise.all(queues);
  }
}

/** Builds a batch of these records for the partition, about the patients, of the batch that it stands for. */
export function rebuild(batch: FinishedBatch, records: readonly AppendedRecord[]): Promise<FinishedBatch> {
  const builder = new BatchBuilder();
  for (const { timestamp, key, value } of records) builder.add(timestamp, key, value);
  return finish(batch.state, { builder, patients: batch.patients && new Set(batch.patients) });
}

function newBatch(initialBytes?: number): OpenBatch {
  return { builder: new BatchBuilder(initialBytes), patients: undefined };
}

async function finish(state: PartitionState, { builder, patients }: OpenBatch): Promise<FinishedBatch> {
  const { count, bytes } = builder;
  const { topic, partition } = state;
  return { state, topic, partition, count, bytes, patients, batch: await builder.finish() };
}
