import type { Clock } from '../base/clock.ts';
import { release } from '../base/buffers.ts';
import { offset } from '../base/positions.ts';
import type { Cut, Epoch, Lsn, Offset, Stamp } from '../base/positions.ts';
import type { TopicState, TypeCount } from '../events/position.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import { patientsAbout } from '../events/zone.ts';
import type { Zone } from '../events/zone.ts';
import type { RefusedRecord, StoredBatch } from '../log/log.ts';
import type { CaptureLag } from './capture-lag.ts';
import type { KeyedChange } from './change.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import type { ProblemLog } from './problem-log.ts';
import { keyId } from './read-row.ts';
import { ZoneWriter } from './zone-writer.ts';

/** What the log must offer to capture: one open transaction, and knowledge of where the partitions end. */
export interface CaptureLog {
  readonly pendingBytes: number;
  /** For how long Kafka has held the transaction open, in ms; 0 while it holds none. */
  readonly openMs: number;
  /** After which Kafka aborts a transaction, in ms. */
  readonly transactionTimeoutMs: number;
  declare(topic: string, ends: readonly number[]): void;
  declared(topic: string): boolean;
  ends(topic: string): readonly number[];
  /** @param patients whom the record is about */
  add(
    topic: string,
    record: { readonly timestamp: number; readonly key: Uint8Array; readonly value: Uint8Array },
    patients?: readonly string[],
  ): void;
  /** Told of each batch when it is stored, in the order of a partition's offsets. */
  onStored: (batch: StoredBatch) => void;
  /** Asked what to store instead of a record that Kafka will never take; undefined stops capture with an error. */
  onRefused: (record: RefusedRecord) => Uint8Array | undefined;
  flush(): Promise<void>;
  commit(): Promise<void>;
  close(): Promise<void>;
}

export interface ResourceTopic {
  /** Another one after the topic was deleted and made again. */
  readonly id: string;
  readonly starts: readonly number[];
  readonly ends: readonly Offset[];
}

/** Resource topics: found, made, and named. */
export interface ResourceTopics {
  topicOf(type: string): string;
  /** Where it is told which patients a stretch of a resource topic is about. */
  readonly zones: string;
  /** Makes the topic if it is not there; resolves to its id and the ends of its partitions. */
  ensure(type: string): Promise<ResourceTopic>;
}

export interface CaptureMetrics {
  change(operation: string, bytes: number): void;
  problem(): void;
  reached(lsn: Lsn): void;
  readonly lag: CaptureLag;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Writes changes to their type's topic, and knows what a cut is made of. */
export class ChangeWriter {
  readonly #log: CaptureLog;
  readonly #topics: ResourceTopics;
  readonly #encode: (change: ResourceChange) => Buffer;
  readonly #metrics: CaptureMetrics;
  readonly #problems: ProblemLog;
  readonly #totals: Map<string, Mutable<TypeCount>>;
  readonly #zones: ZoneWriter;
  readonly #epoch: Epoch;
  readonly #reloaded: Stamp | undefined;
  readonly #made: Map<string, Omit<ResourceTopic, 'ends'>>;

  constructor(options: {
    log: CaptureLog;
    topics: ResourceTopics;
    encode: (change: ResourceChange) => Buffer;
    decodeChange: (value: Buffer) => ResourceChange;
    encodeZone: (zone: Zone) => Buffer;
    clock: Clock;
    /**
     * Whether to tell where patients are. Not of a reload, which does not know whose its resources were before: who passes over
     * its records would take an older one for the newest.
     */
    tellsZones: boolean;
    metrics: CaptureMetrics;
    problems: ProblemLog;
    totals: readonly TypeCount[];
    epoch: Epoch;
    /** That the log was told of before. */
    topicStates: readonly TopicState[];
    /** Stamp of the last reload. */
    reloaded: Stamp | undefined;
  }) {
    this.#epoch = options.epoch;
    this.#made = new Map(options.topicStates.map(({ type, id, starts }) => [type, { id, starts }]));
    this.#reloaded = options.reloaded;
    this.#log = options.log;
    this.#topics = options.topics;
    this.#encode = options.encode;
    this.#metrics = options.metrics;
    this.#problems = options.problems;
    this.#totals = new Map(options.totals.map((total) => [total.type, { ...total }]));
    const { log, topics, encodeZone, clock } = options;
    const write = (zone: Zone): void =>
      log.add(topics.zones, { timestamp: clock(), key: Buffer.from(zone.type), value: encodeZone(zone) });
    this.#zones = new ZoneWriter(write, (topic) => typeOf(topics, topic));
    if (options.tellsZones) log.onStored = (batch) => this.#zones.stored(batch);
    else log.onStored = () => undefined;
    log.onRefused = (record) => this.#withoutBody(record, options.decodeChange);
  }

  /** Whether `write` can take a change of this type at once; otherwise `prepare` the type before. */
  ready(type: string): boolean {
    return !isResourceType(type) || this.#log.declared(this.#topics.topicOf(type));
  }

  async prepare(type: string): Promise<void> {
    const { ends, ...topic } = await this.#topics.ensure(type);
    this.#log.declare(this.#topics.topicOf(type), ends);
    this.#made.set(type, topic);
  }

  /** Tells of everything stored so far, with the next commit. */
  closeZones(): void {
    this.#zones.close();
  }

  write({ type, id, change, problem }: KeyedChange): void {
    // For such a type there is no topic, so no export can name it.
    if (!isResourceType(type)) {
      this.#metrics.problem();
      this.#problems.tell(`${keyId(type)}/${id}`, 'its type is none of FHIR R4');
      return;
    }
    if (problem !== undefined) {
      this.#metrics.problem();
      this.#problems.tell(`${type}/${id}`, problem);
    }
    const bytes = change.body?.length ?? 0;
    const key = Buffer.from(`${type}/${id}`);
    const record = { timestamp: change.stamp, key, value: this.#encode(change) };
    this.#log.add(this.#topics.topicOf(type), record, patientsAbout(type, change));
    release(record.value); // the log has a copy
    this.#count(type, bytes);
    this.#metrics.change(change.operation, bytes);
  }

  /** Names the resource in `error` instead of exporting it, as is done with one that is over the limit. */
  #withoutBody(
    { topic, key, value }: RefusedRecord,
    decode: (value: Buffer) => ResourceChange,
  ): Buffer | undefined {
    if (typeOf(this.#topics, topic) === undefined) return undefined;
    const change = decode(Buffer.from(value));
    if (change.body === null) return undefined;
    const problem =
      'Kafka does not take its record: it is larger than the topic allows, or its time is refused';
    this.#metrics.problem();
    this.#problems.tell(Buffer.from(key).toString(), problem);
    return this.#encode({ ...change, body: null, problem });
  }

  /** Where everything ends now. Only right after a flush. */
  cut(lsn: Lsn, time: Stamp): Cut {
    const types = [...this.#totals.keys()].sort();
    return {
      lsn,
      time,
      ends: new Map(types.map((type) => [type, this.#log.ends(this.#topics.topicOf(type)).map(offset)])),
      meanBytes: new Map(types.map((type) => [type, mean(this.#totals.get(type))])),
      topicIds: new Map([...this.#made].map(([type, { id }]) => [type, id])),
      epoch: this.#epoch,
      reloaded: this.#reloaded,
    };
  }

  /** For the position. */
  topicStates(): TopicState[] {
    return [...this.#made].map(([type, topic]) => ({
      type,
      ...topic,
      ends: this.#log.ends(this.#topics.topicOf(type)),
    }));
  }

  /** For the position: goes into the same transaction as what was counted. */
  totals(): TypeCount[] {
    return [...this.#totals.values()].map((total) => ({ ...total }));
  }

  #count(type: string, bytes: number): void {
    const totals = this.#totals.get(type);
    if (totals) {
      totals.records++;
      totals.bytes += bytes;
    } else {
      this.#totals.set(type, { type, records: 1, bytes });
    }
  }
}

function mean(totals: TypeCount | undefined): number {
  return totals && totals.records > 0 ? totals.bytes / totals.records : 0;
}

function typeOf(topics: ResourceTopics, topic: string): string | undefined {
  const start = topics.topicOf('');
  return topic.startsWith(start) ? topic.slice(start.length) : undefined;
}
