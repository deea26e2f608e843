import assert from 'node:assert/strict';
import { allTopics } from '../../topics/all.ts';
import { lsn, offset, stamp } from '../../src/base/positions.ts';
import type { Cut, Offset, Stamp } from '../../src/base/positions.ts';
import { afterReload, changesOf, loadedChange } from '../../src/capture/change.ts';
import type { KeyedChange } from '../../src/capture/change.ts';
import type { SourceRow } from '../../src/capture/presets/source-row.ts';
import { StampClock } from '../../src/capture/stamp-clock.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import type { Grant } from '../../src/events/grant.ts';
import type { ExportParameters } from '../../src/events/request.ts';
import { ResourceChangeCodec } from '../../src/events/resource-change-codec.ts';
import type { ResourceChange } from '../../src/events/resource-change.ts';
import type { ExportFile, StatusEvent } from '../../src/events/status.ts';
import type { Task } from '../../src/events/tasks.ts';
import { hash32 } from '../../src/base/hash32.ts';
import { patientsAbout } from '../../src/events/zone.ts';
import type { Zone } from '../../src/events/zone.ts';
import { formatInstant } from '../../src/fhir/instant.ts';
import { isCompartmentType } from '../../src/fhir/patient-compartment.ts';
import { References } from '../../src/fhir/reference.ts';
import type { TopicIdentity, RecordBatch, StoredRecord } from '../../src/log/log.ts';
import { Planner } from '../../src/plan/planner.ts';
import { runTask } from '../../src/replay/run-task.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { batchOf } from './log-record.ts';
import type { LogRecord } from './log-record.ts';
import { MemoryStore } from './memory-store.ts';

const PARTITIONS = 2;
/** Records of a batch, few so that histories span several. */
const BATCH = 3;
const LIMITS = { maxBytes: 4_000 };
/** So large that the shortest stretch is worth leaving out. */
const MEAN_BYTES = 1e6;
const ZONES = 'zones';
/** When a resource that the load finds was changed last, in ms after the load: applications write what they like. */
const LAST_UPDATED: Readonly<Record<string, number>> = { p1: 5, o1: 1e9, p2: -5, a1: -1e9 };
const BEGINNING = Date.UTC(2026, 0, 1);

export interface Json {
  readonly [name: string]: unknown;
}

/** A resource that lives, as it was written. */
export interface Row {
  readonly type: string;
  readonly id: string;
  readonly line: string;
  readonly resource: Json;
  /** Whether it can be exported at all. */
  readonly readable: boolean;
  /** Stamp of its last change. */
  readonly changedAt: number;
}

export type Rows = ReadonlyMap<string, Row>;

/** A put, or without a resource a removal. */
export interface Write {
  readonly type: string;
  readonly id: string;
  readonly resource: Json | undefined;
}

export interface Exported {
  /** Why there is nothing. */
  readonly failed: string | undefined;
  /** In the order of the files. */
  readonly output: readonly { readonly type: string; readonly line: string; readonly beginsFile: boolean }[];
  readonly deleted: readonly string[];
  /** Diagnostics. */
  readonly problems: readonly string[];
  /** The sum of what the files say. */
  readonly count: number;
}

/**
 * A source, its log and exports of it, in memory: the rules of capture, planner and replay as they are, without servers between
 * them. It knows of a patient no more than that there are rows.
 */
export class World {
  readonly rows = new Map<string, Row>();
  /** For exports and their plans. */
  recordsRead = 0;
  readonly #clock = new StampClock(stamp(BEGINNING));
  readonly #topics = new Map<string, LogRecord[][]>();
  readonly #ends = new Map<string, number[]>();
  readonly #zones: Zone[] = [];
  /** Records in one zone. */
  readonly #zoneRecords: number;
  readonly #codec: ResourceChangeCodec;
  readonly #references = new References(['https://fhir.example.org/r4']);
  #time = BEGINNING;
  #reloaded: Stamp | undefined;
  #lsn = 0n;

  /** @param zoneRecords Infinity = the log tells nothing of where patients are */
  constructor(zoneRecords = Infinity) {
    this.#zoneRecords = zoneRecords;
    this.#codec = new ResourceChangeCodec(
      new Map(allTopics.map(({ subject }, i) => [subject, { id: i + 1, writers: new Map() }])),
    );
  }

  /** ms since 1970. */
  get time(): number {
    return this.#time;
  }

  pass(ms: number): void {
    this.#time += ms;
  }

  /** One transaction. */
  commit(writes: readonly Write[]): void {
    const point = { stamp: this.#clock.change(this.#time), lsn: lsn(++this.#lsn) };
    for (const write of writes) {
      const old = this.rows.get(`${write.type}/${write.id}`);
      const row = this.#store(write, point.stamp);
      const changes = changesOf(old && sourceRow(old), row && sourceRow(row), point, LIMITS);
      for (const change of changes) this.#append(change);
    }
  }

  /** The same resource, written otherwise. */
  commitLine(type: string, id: string, rewrite: (line: string) => string): void {
    const old = this.rows.get(`${type}/${id}`) ?? assert.fail(`there is no ${type}/${id}`);
    const row = { ...old, line: rewrite(old.line) };
    const point = { stamp: this.#clock.change(this.#time), lsn: lsn(++this.#lsn) };
    this.rows.set(`${type}/${id}`, row);
    for (const change of changesOf(sourceRow(old), sourceRow(row), point, LIMITS)) this.#append(change);
  }

  /** What is there before there is a log, as the first load finds it. */
  load(writes: readonly Write[]): void {
    const point = { stamp: this.#clock.change(this.#time), lsn: lsn(++this.#lsn) };
    const lastUpdated = ({ id }: { readonly id: string }): number => point.stamp + (LAST_UPDATED[id] ?? 0);
    for (const write of writes) this.#store(write, Math.min(lastUpdated(write), point.stamp));
    for (const row of this.rows.values()) {
      const loaded = { ...sourceRow(row), lastUpdated: lastUpdated(row) };
      this.#append(loadedChange('snapshot', loaded, point, LIMITS));
    }
  }

  /** What capture has not seen, since its slot was lost: every record is written again, without zones. */
  reload(writes: readonly Write[]): void {
    const point = { stamp: this.#clock.change(this.#time), lsn: lsn(++this.#lsn) };
    const before = new Map(this.rows);
    this.#reloaded = point.stamp;
    for (const write of writes) this.#store(write, point.stamp);
    for (const [key, row] of this.rows) {
      this.rows.set(key, { ...row, changedAt: point.stamp });
      const loaded = loadedChange('update', sourceRow(row), point, LIMITS);
      const newest = this.#newest(row.type, key);
      this.#append(loaded, false);
      const complete =
        newest && newest.operation !== 'delete' && isCompartmentType(row.type)
          ? afterReload(row.type, newest, loaded.change)
          : undefined;
      if (complete) this.#append({ ...loaded, change: complete }, false);
    }
    for (const [key, row] of before)
      if (!this.rows.has(key))
        for (const change of changesOf(sourceRow(row), undefined, point, LIMITS)) this.#append(change, false);
  }

  #newest(type: string, key: string): ResourceChange | undefined {
    const records = (this.#topics.get(type) ?? []).flat().filter((record) => record.key === key);
    const newest = records.at(-1);
    return newest && this.#codec.decode(newest.value);
  }

  #store({ type, id, resource }: Write, changedAt: number): Row | undefined {
    if (resource === undefined) {
      this.rows.delete(`${type}/${id}`);
      return undefined;
    }
    const { trouble } = resource;
    const whole = JSON.stringify({ resourceType: type, id, ...resource });
    const line =
      trouble === 'large'
        ? `${whole}${' '.repeat(LIMITS.maxBytes)}`
        : trouble === 'cut'
          ? whole.slice(0, -2)
          : whole;
    const row = { type, id, line, resource, readable: trouble === undefined, changedAt };
    this.rows.set(`${type}/${id}`, row);
    return row;
  }

  /** As after a day: of each resource but groups the newest version is left. */
  compact(): void {
    for (const [type, partitions] of this.#topics) {
      if (type === 'Group') continue;
      for (const [i, records] of partitions.entries()) {
        const newest = new Map(records.map((record) => [record.key, record]));
        partitions[i] = records.filter((record) => newest.get(record.key) === record);
      }
    }
  }

  cut(): Cut {
    const ends = new Map([...this.#ends].map(([type, list]) => [type, list.map(offset)]));
    const meanBytes = new Map([...ends.keys()].map((type) => [type, MEAN_BYTES]));
    const time = this.#clock.cut(this.#time);
    return { lsn: lsn(++this.#lsn), time, ends, meanBytes, reloaded: this.#reloaded };
  }

  /** @param taskRecords what a task reads at most, if it can be helped */
  async export(
    cut: Cut,
    asked: Partial<ExportParameters>,
    taskRecords = 1_000,
    grant?: Grant,
  ): Promise<Exported> {
    const parameters = { ...EVERYTHING, ...asked };
    const { events, tasks } = await this.#plan({ parameters, cut, grant }, taskRecords * MEAN_BYTES);
    const failure = events.find((event) => event.kind === 'ExportFailed');
    const store = new MemoryStore();
    const exported = { output: [] as Exported['output'][number][], deleted: [] as string[] };
    const problems: string[] = [];
    let count = 0;
    for (const task of tasks) {
      for (const file of await this.#run(task, store)) {
        count += file.count;
        for (const [n, line] of store.text(file.key).split('\n').slice(0, -1).entries()) {
          if (file.kind === 'output') exported.output.push({ type: file.type, line, beginsFile: n === 0 });
          else if (file.kind === 'deleted') exported.deleted.push(deletedKey(line));
          else problems.push(diagnosticsOf(line));
        }
      }
    }
    return { failed: failure?.code, ...exported, problems, count };
  }

  async #plan(
    asked: { cut: Cut; parameters: ExportParameters; grant: Grant | undefined },
    taskBytes: number,
  ) {
    const events: StatusEvent[] = [];
    const tasks: Task[] = [];
    const command = {
      kind: 'ExportRequested' as const,
      jobId: 'job',
      clientId: 'client',
      acceptedAt: asked.cut.time,
      requestUrl: 'http://127.0.0.1/fhir/$export',
      ...asked,
    };
    const record = { topic: 'commands', partition: 0, offset: offset(0), key: 'job', value: Buffer.alloc(0) };
    const planner = new Planner({
      requireVersions: () => Promise.resolve(),
      queue: {
        run: async (_, handle, signal) => {
          await handle(record, signal);
        },
      },
      reader: this,
      codecs: {
        command: { decode: () => command },
        status: { encode: (event) => (events.push(event), Buffer.alloc(0)) },
        task: { encode: (task) => (tasks.push(task), Buffer.alloc(0)) },
        change: this.#codec,
        zone: { decode: (value) => this.#zones[value.readUInt32BE()] ?? assert.fail() },
      },
      topics: {
        commands: 'commands',
        status: 'status',
        zones: ZONES,
        tasks: { quick: 'quick', bulk: 'bulk' },
        resource: (type) => type,
      },
      group: 'planner',
      settings: { taskBytes, quickBytes: 10 * MEAN_BYTES, parallelism: 2, layout: 'flat' },
      references: this.#references,
      clock: () => asked.cut.time,
      logger: { debug() {}, info() {}, warn() {}, error() {} },
      health: { ready() {} },
    });
    await planner.run(new AbortController().signal);
    return { events, tasks };
  }

  async #run(task: Task, store: ObjectStore): Promise<readonly ExportFile[]> {
    const tools = {
      log: { reader: this, codec: this.#codec, topicOf: (type: string) => type },
      store,
      references: this.#references,
      patientsOf: () => assert.fail('each task carries so few'),
      fileBytes: 500,
      blockBytes: 400,
    };
    const { files } = await runTask(task, tools, {
      signal: new AbortController().signal,
      onProgress: (fraction) => assert(fraction >= 0 && fraction <= 1),
    });
    return files;
  }

  /** As LogReader, of the topic of zones. */
  topics(): Promise<ReadonlyMap<string, TopicIdentity>> {
    return Promise.resolve(new Map());
  }

  ends(topic: string): Promise<Offset[]> {
    assert.equal(topic, ZONES);
    return Promise.resolve([offset(this.#zones.length)]);
  }

  /** As LogReader, of the topic of zones. */
  async *read(range: { readonly from: number; readonly to: number }): AsyncIterable<StoredRecord[]> {
    for (let at = range.from; at < range.to; at++) {
      const value = Buffer.alloc(4);
      value.writeUInt32BE(at);
      yield [{ offset: offset(at), timestamp: stamp(0), key: Buffer.alloc(0), value }];
    }
    await Promise.resolve();
  }

  /** As LogReader; a topic is its type. */
  offsetsAt(type: string, time: number): Promise<Offset[]> {
    if (type === ZONES) return Promise.resolve([offset(0)]);
    const ends = this.#ends.get(type) ?? [];
    const first = (records: readonly LogRecord[]) => records.find((record) => record.stamp >= time)?.offset;
    return Promise.resolve(
      (this.#topics.get(type) ?? []).map((records, i) => offset(first(records) ?? ends[i] ?? 0)),
    );
  }

  /** As LogReader. */
  async *readBackward(range: {
    readonly topic: string;
    readonly partition: number;
    readonly from: number;
    readonly to: number;
  }): AsyncIterable<RecordBatch> {
    const all = this.#topics.get(range.topic)?.[range.partition] ?? [];
    const records = all.filter((record) => record.offset >= range.from && record.offset < range.to);
    for (let end = records.length; end > 0; end -= BATCH) {
      this.recordsRead += Math.min(BATCH, end);
      const batch = batchOf(records.slice(Math.max(0, end - BATCH), end));
      yield batch;
      batch.data.fill(0); // it is valid until the next one only
    }
    await Promise.resolve();
  }

  #append({ type, id, change }: KeyedChange, tellsZones = true): void {
    const record = {
      key: `${type}/${id}`,
      stamp: change.stamp,
      about: tellsZones ? patientsAbout(type, change) : undefined,
      value: this.#codec.encode(change),
    };
    const topic = this.#topics.get(type) ?? Array.from({ length: PARTITIONS }, () => []);
    const ends = this.#ends.get(type) ?? topic.map(() => 0);
    this.#topics.set(type, topic);
    this.#ends.set(type, ends);
    const partition = (record.key.codePointAt(record.key.length - 1) ?? 0) % PARTITIONS;
    const to = (ends[partition] ?? 0) + 1;
    topic[partition]?.push({ ...record, offset: to - 1 });
    ends[partition] = to;
    if (to % this.#zoneRecords !== 0 || !record.about) return;
    const from = to - this.#zoneRecords;
    const told = topic[partition]?.filter((one) => one.offset >= from) ?? [];
    if (told.some(({ about }) => about === undefined)) return;
    const patients = Uint32Array.from(new Set(told.flatMap(({ about = [] }) => about.map(hash32)))).sort();
    this.#zones.push({ type, partition, from: offset(from), to: offset(to), patients });
  }
}

/** Of a Cut, what `_since` and `_until` name it by. */
export function instantOf({ time }: Cut): string {
  return formatInstant(time);
}

function sourceRow({ type, id, line }: Row): SourceRow {
  return { type, id, version: '1', lastUpdated: null, deleted: false, body: Buffer.from(line) };
}

function deletedKey(line: string): string {
  const bundle = JSON.parse(line) as { entry: { request: { url: string } }[] };
  return bundle.entry[0]?.request.url ?? assert.fail(line);
}

function diagnosticsOf(line: string): string {
  const outcome = JSON.parse(line) as { issue: { severity: string; diagnostics: string }[] };
  return `${outcome.issue[0]?.severity} ${outcome.issue[0]?.diagnostics}`;
}
