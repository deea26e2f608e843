import type { Offset, Stamp } from '../base/positions.ts';

/** A partition of a topic. */
export interface Partition {
  readonly topic: string;
  readonly partition: number;
}

export interface StoredRecord {
  readonly offset: Offset;
  readonly timestamp: Stamp;
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Records of one partition that were stored together, one after the other: half-open, [from, to). */
export interface StoredBatch extends Partition {
  readonly from: number;
  readonly to: number;
  /** Bytes of keys and values, before compression. */
  readonly bytes: number;
  /** The patients that the records are about; undefined for kinds of records that are about no patient. */
  readonly patients: ReadonlySet<string> | undefined;
}

/** A record that Kafka will never take: too large, or with a time that the topic does not allow. */
export interface RefusedRecord {
  readonly topic: string;
  readonly timestamp: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly reason: Error;
}

/** Listens to the batches of one topic while they are sent. */
export interface TopicListener {
  /** Called for each batch when it is stored, in the order of a partition's offsets. */
  stored(batch: StoredBatch): void;
  /** Returns the value to store, under the same key, instead of a record that Kafka never takes; undefined fails the flush. */
  refused(record: RefusedRecord): Uint8Array | undefined;
}

/** A record to append. Without a partition, murmur2 of the key chooses one, as in every Kafka client. */
export interface NewRecord {
  readonly topic: string;
  readonly partition?: number;
  readonly key: string;
  readonly value: Buffer;
  /** ms since 1970; the time of appending when absent. */
  readonly timestamp?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A consumed record of a work queue. */
export interface QueuedRecord extends Partition {
  readonly offset: Offset;
  readonly key: string;
  readonly value: Buffer;
}

/** The records that result from handling one; appended together with the consumed offset, all or nothing. */
export type Outcome = readonly NewRecord[];

export interface QueueOptions {
  readonly topics: readonly string[];
  readonly group: string;
  /** Partitions handled at a time. */
  readonly concurrency: number;
  /** Called when the group has given this member its partitions, and when work goes on after trouble. */
  readonly onAssigned?: () => void;
  /** Called when work waits for a server. */
  readonly onTrouble?: (error: unknown) => void;
  /** The outcome of a record that cannot be handled, or whose own outcome cannot be stored. */
  readonly giveUp?: (record: QueuedRecord, error: unknown) => Outcome;
}

export type Handle = (record: QueuedRecord, signal: AbortSignal) => Promise<Outcome>;

/**
 * Handles each record of the topics once per group, in order within a partition: the outcome and the consumed offset go
 * into one Kafka transaction. A crash before that commits nothing and the record comes again, here or in another process.
 *
 * `remedyFor` says what an error of a handler leads to. `retry`: the record is handled again with backoff, however long it takes,
 * and the rest of its partition waits. `fail`: `giveUp` gives the outcome instead (an error without a code is tried a few
 * times first), or the queue stops with the error when there is no `giveUp`. `stop`: the queue stops with the error.
 * A group or topic that cannot be reached is joined again with backoff, and handlers go on meanwhile; only the first join
 * rejects. A topic that was deleted stops the queue.
 */
export interface WorkQueue {
  run(options: QueueOptions, handle: Handle, signal: AbortSignal): Promise<void>;
}

/** Appends outside of any transaction: progress and other events whose repetition is harmless. Resolves when stored. */
export interface Publisher {
  append(records: readonly NewRecord[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * Records of one partition that lie together, oldest at index `begin`, newest at `end` - 1. Positions into one buffer instead
 * of objects, since replay passes every record of the log through here. Valid until the next batch is asked for.
 */
export interface RecordBatch {
  readonly begin: number;
  readonly end: number;
  /** Holds keys and values. */
  readonly data: Buffer;
  offset(index: number): number;
  /** The key, one character a byte: as good as the key for comparing, and as text where keys are ASCII. */
  keyText(index: number): string;
  key(index: number): Buffer;
  keyStart(index: number): number;
  keyEnd(index: number): number;
  valueStart(index: number): number;
  valueEnd(index: number): number;
}

/** The topic that currently has a name. */
export interface TopicIdentity {
  /** Kafka's own; a topic that was deleted and made again has another. */
  readonly id: string;
  readonly partitions: number;
}

/** Reads what is committed, from given offsets, without joining a group. */
export interface LogReader {
  /** Topics by name, as the cluster has them now, asked again each time; those that do not exist are left out. */
  topics(names: readonly string[]): Promise<ReadonlyMap<string, TopicIdentity>>;
  /**
   * End offset of what is committed, by partition number; empty when there is no such topic. A transaction's markers come
   * to its partitions some milliseconds after its commit. So a transaction that has just committed may be missing here.
   */
  ends(topic: string): Promise<readonly Offset[]>;
  /**
   * Returns for each partition the offset before which no record has a timestamp >= the given one; the end if no record has.
   * It may come earlier than the first such record: Kafka's own transaction markers count, and bear the broker's time.
   */
  offsetsAt(topic: string, timestamp: number): Promise<readonly Offset[]>;
  /** Committed records of one partition from `from` on, oldest first, waiting for more until the signal fires. */
  follow(
    from: Partition & { readonly offset: Offset },
    signal: AbortSignal,
  ): AsyncIterable<readonly StoredRecord[]>;
  /** Committed records of [from, to), oldest first. */
  read(
    range: Partition & { readonly from: Offset; readonly to: Offset },
    signal: AbortSignal,
  ): AsyncIterable<readonly StoredRecord[]>;
  /**
   * Committed records of [from, to), newest batch first; inside a batch the caller goes from the end. Memory is bounded by two
   * blocks of some megabytes and one batch, whatever the range.
   */
  readBackward(
    range: Partition & { readonly from: Offset; readonly to: Offset },
    signal: AbortSignal,
  ): AsyncIterable<RecordBatch>;
  close(): Promise<void>;
}
