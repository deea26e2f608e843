import type { Logger } from '../base/service.ts';
import { offset } from '../base/positions.ts';
import type { Cut, Lsn, Offset, Stamp } from '../base/positions.ts';
import type { TypeCount } from '../events/position.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import type { KeyedChange } from './change.ts';

/** What the log must offer to capture: one open transaction, and knowledge of where the partitions end. */
export interface CaptureLog {
  readonly pendingBytes: number;
  declare(topic: string, ends: readonly number[]): void;
  declared(topic: string): boolean;
  ends(topic: string): readonly number[];
  add(
    topic: string,
    record: { readonly timestamp: number; readonly key: Uint8Array; readonly value: Uint8Array },
  ): void;
  flush(): Promise<void>;
  commit(): Promise<void>;
  close(): Promise<void>;
}

/** Resource topics: found, made, and named. */
export interface ResourceTopics {
  topicOf(type: string): string;
  /** Makes the topic if it is not there; resolves to the ends of its partitions. */
  ensure(type: string): Promise<readonly Offset[]>;
}

export interface CaptureMetrics {
  change(operation: string, bytes: number): void;
  problem(): void;
  reached(stamp: Stamp, lsn: Lsn): void;
}

/** Not a rule of FHIR's but of topic names and file names; every FHIR type passes. */
const TYPE_NAME = /^[A-Z][A-Za-z]{0,63}$/;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Writes changes to their type's topic, and knows what a cut is made of. */
export class ChangeWriter {
  readonly #log: CaptureLog;
  readonly #topics: ResourceTopics;
  readonly #encode: (change: ResourceChange) => Buffer;
  readonly #metrics: CaptureMetrics;
  readonly #logger: Logger;
  readonly #totals: Map<string, Mutable<TypeCount>>;

  constructor(options: {
    log: CaptureLog;
    topics: ResourceTopics;
    encode: (change: ResourceChange) => Buffer;
    metrics: CaptureMetrics;
    logger: Logger;
    totals: readonly TypeCount[];
  }) {
    this.#log = options.log;
    this.#topics = options.topics;
    this.#encode = options.encode;
    this.#metrics = options.metrics;
    this.#logger = options.logger;
    this.#totals = new Map(options.totals.map((total) => [total.type, { ...total }]));
  }

  /** Whether `write` can take a change of this type at once; otherwise `prepare` the type before. */
  ready(type: string): boolean {
    return !TYPE_NAME.test(type) || this.#log.declared(this.#topics.topicOf(type));
  }

  async prepare(type: string): Promise<void> {
    this.#log.declare(this.#topics.topicOf(type), await this.#topics.ensure(type));
  }

  write({ type, id, change, problem }: KeyedChange): void {
    if (!TYPE_NAME.test(type) || id === '') {
      this.#metrics.problem();
      this.#logger.error(
        { type, id },
        `a row of type "${type}" and id "${id}" is no FHIR resource: it is left out`,
      );
      return;
    }
    if (problem !== undefined) {
      this.#metrics.problem();
      this.#logger.error({ resource: `${type}/${id}` }, `${type}/${id} cannot be exported: ${problem}`);
    }
    const bytes = change.body?.length ?? 0;
    const value = this.#encode(change);
    this.#log.add(this.#topics.topicOf(type), {
      timestamp: change.stamp,
      key: Buffer.from(`${type}/${id}`),
      value,
    });
    this.#count(type, bytes);
    this.#metrics.change(change.operation, bytes);
  }

  /** Where everything ends now. Only right after a flush. */
  cut(lsn: Lsn, time: Stamp): Cut {
    const types = [...this.#totals.keys()].sort();
    return {
      lsn,
      time,
      ends: new Map(types.map((type) => [type, this.#log.ends(this.#topics.topicOf(type)).map(offset)])),
      meanBytes: new Map(types.map((type) => [type, mean(this.#totals.get(type))])),
    };
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
