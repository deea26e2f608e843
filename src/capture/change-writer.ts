import type { Clock } from '../base/clock.ts';
import { release } from '../base/buffers.ts';
import { offset } from '../base/positions.ts';
import type { Cut, Epoch, Lsn, Stamp } from '../base/positions.ts';
import type { TopicState, TypeCount } from '../events/position.ts';
import { patientsAbout } from '../events/zone.ts';
import type { Zone } from '../events/zone.ts';
import type { RefusedRecord } from '../log/log.ts';
import type { CaptureLag } from './capture-lag.ts';
import type { KeyedChange } from './change.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import type { ProblemLog } from './problem-log.ts';
import { keyId } from './read-row.ts';
import type { CaptureLog, ResourceLog, ResourceTopic } from './resource-log.ts';
import { ZoneWriter } from './zone-writer.ts';

export interface CaptureMetrics {
  change(operation: string, bytes: number): void;
  problem(): void;
  reached(lsn: Lsn): void;
  readonly lag: CaptureLag;
}

const SCRATCH_BYTES = 64 << 10;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** An open log, with the tools to write changes to it. */
export interface ChangeDestination {
  readonly log: CaptureLog;
  readonly resources: Pick<ResourceLog, 'topics' | 'changes' | 'encodeZone'>;
  readonly metrics: CaptureMetrics;
  readonly problems: ProblemLog;
  readonly clock: Clock;
}

/** The state of the log at which writing begins. */
export interface WriterState {
  readonly totals: readonly TypeCount[];
  readonly topicStates: readonly TopicState[];
  readonly epoch: Epoch;
  /** Stamp of the last reload. */
  readonly reloaded: Stamp | undefined;
  /**
   * Whether to write zones. A reload writes none: it does not know the earlier patients of a resource. A reader that skipped its
   * records by a zone would take an older record for the newest.
   */
  readonly writesZones: boolean;
}

/** Writes each change to the topic of its type, and knows the parts of a cut. */
export class ChangeWriter {
  readonly #destination: ChangeDestination;
  readonly #state: WriterState;
  readonly #totals: Map<string, Mutable<TypeCount>>;
  readonly #zones: ZoneWriter;
  readonly #topics: Map<string, Omit<ResourceTopic, 'ends'>>;
  readonly #ready = new Set<string>();
  /** For one encoded change. New memory for each would cost more than to fill it. */
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

  constructor(destination: ChangeDestination, state: WriterState) {
    this.#destination = destination;
    this.#state = state;
    this.#totals = new Map(state.totals.map((total) => [total.type, { ...total }]));
    this.#topics = new Map(state.topicStates.map(({ type, id, starts }) => [type, { id, starts }]));
    this.#zones = new ZoneWriter((zone) => this.#writeZone(zone));
  }

  /** Whether `write` can take a change of this type at once. If not, `prepare` the type first. */
  ready(type: string): boolean {
    return !isResourceType(type) || this.#ready.has(type);
  }

  async prepare(type: string): Promise<void> {
    const { log, resources } = this.#destination;
    const topic = resources.topics.topicOf(type);
    if (!log.declared(topic)) {
      const { ends, ...made } = await resources.topics.ensure(type);
      log.declare(topic, ends);
      this.#topics.set(type, made);
    }
    const zones = this.#state.writesZones ? this.#zones : undefined;
    log.listen(topic, {
      stored: (batch) => zones?.stored(type, batch),
      refused: (record) => this.#withoutBody(record),
    });
    this.#ready.add(type);
  }

  /** Writes the zones of everything stored so far, for the next commit. */
  closeZones(): void {
    this.#zones.close();
  }

  write({ type, id, change, problem }: KeyedChange): void {
    const { log, resources, metrics } = this.#destination;
    // Such a type has no topic, so no export can name the resource.
    if (!isResourceType(type)) return this.#report(`${keyId(type)}/${id}`, 'its type is none of FHIR R4');
    if (problem !== undefined) this.#report(`${type}/${id}`, problem);
    const bytes = change.body?.length ?? 0;
    const key = Buffer.from(`${type}/${id}`);
    const value = resources.changes.encode(change, this.#scratch);
    log.add(
      resources.topics.topicOf(type),
      { timestamp: change.stamp, key, value },
      patientsAbout(type, change),
    );
    if (value.buffer !== this.#scratch.buffer) release(value); // the log has a copy
    this.#count(type, bytes);
    metrics.change(change.operation, bytes);
  }

  /** The offsets at which the partitions of a type's topic end. */
  ends(type: string): readonly number[] {
    const { log, resources } = this.#destination;
    return log.ends(resources.topics.topicOf(type));
  }

  /** Returns the cut at the present ends of all topics. Call it right after a flush only. */
  cut(lsn: Lsn, time: Stamp): Cut {
    const types = [...this.#totals.keys()].sort();
    return {
      lsn,
      time,
      ends: new Map(types.map((type) => [type, this.ends(type).map(offset)])),
      meanBytes: new Map(types.map((type) => [type, mean(this.#totals.get(type))])),
      topicIds: new Map([...this.#topics].map(([type, { id }]) => [type, id])),
      epoch: this.#state.epoch,
      reloaded: this.#state.reloaded,
    };
  }

  /** The topics as the position names them. */
  topicStates(): TopicState[] {
    return [...this.#topics].map(([type, topic]) => ({ type, ...topic, ends: this.ends(type) }));
  }

  /** The totals for the position, which is committed with the records that they count. */
  totals(): TypeCount[] {
    return [...this.#totals.values()].map((total) => ({ ...total }));
  }

  /** Returns the record of a resource that Kafka refuses, without the body. Exports name the resource in `error`. */
  #withoutBody({ key, value }: RefusedRecord): Buffer | undefined {
    const { changes } = this.#destination.resources;
    const change = changes.decode(Buffer.from(value));
    if (change.body === null) return undefined;
    const problem =
      'Kafka does not take its record: it is larger than the topic allows, or its time is refused';
    this.#report(Buffer.from(key).toString(), problem);
    return changes.encode({ ...change, body: null, problem });
  }

  #report(key: string, problem: string): void {
    this.#destination.metrics.problem();
    this.#destination.problems.report(key, problem);
  }

  #writeZone(zone: Zone): void {
    const { log, resources, clock } = this.#destination;
    const value = resources.encodeZone(zone);
    log.add(resources.topics.zones, { timestamp: clock(), key: Buffer.from(zone.type), value });
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
