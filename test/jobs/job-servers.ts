import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { offset } from '../../src/base/positions.ts';
import type { Logger } from '../../src/base/service.ts';
import { controlCodecs } from '../../src/events/control-codec.ts';
import type { ControlCodecs } from '../../src/events/control-codec.ts';
import type { ExportEvent } from '../../src/events/export-event.ts';
import type { StatusEvent } from '../../src/events/status.ts';
import { openPool } from '../../src/database/pool.ts';
import { Announcer } from '../../src/jobs/announcer.ts';
import type { JobView } from '../../src/jobs/job.ts';
import { Projector } from '../../src/jobs/projector.ts';
import type { UnreadablePlace } from '../../src/jobs/read-status.ts';
import { migrate } from '../../src/jobs/migrate.ts';
import { jobTables } from '../../src/jobs/schema.ts';
import type { JobTables } from '../../src/jobs/schema.ts';
import { createKafka } from '../../src/log/kafka/kafka-client.ts';
import { KafkaPublisher } from '../../src/log/kafka/append/publisher.ts';
import { RangeReader } from '../../src/log/kafka/read/range-reader.ts';
import { transactionalAppenders } from '../../src/log/kafka/append/transactional-appender.ts';
import type { StoredRecord } from '../../src/log/log.ts';
import type { OpenTransactionalAppender } from '../../src/log/transactional-appender.ts';
import { allTopics } from '../../topics/all.ts';
import { uniqueIdentifier, uniqueName } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

export const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
export const PARTITIONS = 3;
/** Events of tests are older than any history that is kept; those of this century are not forgotten. */
const HISTORY = 50 * 365 * 86_400_000;

/** A schema and topics of one test. */
export interface JobServers {
  readonly databaseUrl: string;
  readonly pool: Pool;
  readonly tables: JobTables;
  readonly reader: RangeReader;
  readonly publisher: KafkaPublisher;
  readonly openAppender: OpenTransactionalAppender;
  readonly codecs: ControlCodecs;
  readonly prefix: string;
  readonly topics: Readonly<Record<'status' | 'progress' | 'exports' | 'announced' | 'audit', string>>;
  append(...events: StatusEvent[]): Promise<void>;
  /** Appends to the progress topic. */
  tell(...events: StatusEvent[]): Promise<void>;
  /** Appends a record that is not an event. */
  appendGarbage(jobId: string): Promise<void>;
  /** Unreadable records that were skipped, and the callback that collects them. */
  readonly unreadable: UnreadablePlace[];
  readonly onUnreadable: (place: UnreadablePlace) => void;
  /** Every record of a topic, partition by partition. */
  records(topic: string): Promise<StoredRecord[]>;
  exported(): Promise<ExportEvent[]>;
  /** Everything in the projection, as text. */
  dump(): Promise<string>;
  remove(): Promise<void>;
}

/** Codecs with fixed schema ids, so that no registry is needed. */
const codecs: ControlCodecs = controlCodecs(
  new Map(
    allTopics.map(({ subject, schema }, i) => [subject, { id: i + 1, writers: new Map([[i + 1, schema]]) }]),
  ),
  'a secret of the tests that seals records',
);

export const manifest = (job: JobView): string => JSON.stringify({ output: job.files.map(({ key }) => key) });

export async function jobServers(): Promise<JobServers> {
  const { postgresUrl, kafkaBrokers } = sharedStack();
  const prefix = uniqueName('jobs');
  const tables = jobTables(uniqueIdentifier('jobs'));
  const pool = openPool({ url: postgresUrl }, quiet);
  await migrate(pool, tables);
  const kafka = createKafka({ brokers: kafkaBrokers, clientId: prefix }, quiet);
  const topics = {
    status: `${prefix}.status`,
    progress: `${prefix}.progress`,
    exports: `${prefix}.exports`,
    announced: `${prefix}.announced`,
    audit: `${prefix}.audit`,
  };
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({
    waitForLeaders: true,
    topics: Object.values(topics).map((topic) => ({
      topic,
      numPartitions: [topics.announced, topics.progress, topics.audit].includes(topic) ? 1 : PARTITIONS,
    })),
  });
  const reader = new RangeReader({ brokers: kafkaBrokers, clientId: prefix });
  const publisher = new KafkaPublisher({ brokers: kafkaBrokers, clientId: prefix });
  const openAppender = transactionalAppenders({ brokers: kafkaBrokers, clientId: prefix });
  const appendTo = (topic: string, events: readonly StatusEvent[]): Promise<void> =>
    publisher.append(events.map((e) => ({ topic, key: e.jobId, value: codecs.status.encode(e) })));
  const records = async (topic: string): Promise<StoredRecord[]> => {
    const all: StoredRecord[] = [];
    for (const [partition, to] of (await reader.ends(topic)).entries()) {
      const range = { topic, partition, from: offset(0), to };
      for await (const batch of reader.read(range, new AbortController().signal)) all.push(...batch);
    }
    return all;
  };
  const unreadable: UnreadablePlace[] = [];
  return {
    unreadable,
    onUnreadable: (place) => unreadable.push(place),
    databaseUrl: postgresUrl,
    pool,
    tables,
    reader,
    publisher,
    openAppender,
    codecs,
    prefix,
    topics,
    records,
    append: (...events) => appendTo(topics.status, events),
    tell: (...events) => appendTo(topics.progress, events),
    appendGarbage: (jobId) =>
      publisher.append([{ topic: topics.status, key: jobId, value: Buffer.from('no event') }]),
    exported: async () =>
      (await records(topics.exports)).map(({ value }) => codecs.exportEvent.decode(value)),
    dump: async () => {
      const parts = [];
      for (const table of [tables.job, tables.task, tables.file, tables.offset, tables.announcement]) {
        const { rows } = await pool.query<{ line: string }>(
          `SELECT t::text AS line FROM ${table} t ORDER BY 1`,
        );
        parts.push(`${table}\n${rows.map(({ line }) => line).join('\n')}`);
      }
      return parts.join('\n');
    },
    async remove() {
      await pool.query(`DROP SCHEMA ${tables.schema} CASCADE`);
      await admin.deleteTopics({ topics: Object.values(topics) });
      await Promise.all([pool.end(), reader.close(), publisher.close(), admin.disconnect()]);
    },
  };
}

/** Not started. */
export function makeProjector(servers: JobServers, historyMs = HISTORY): Projector {
  const { tables, databaseUrl, reader, openAppender, codecs, topics, prefix, onUnreadable } = servers;
  const announcer = new Announcer({
    tables,
    reader,
    openAppender,
    topics,
    codecs,
    transactionalId: `${prefix}.announcer`,
    source: '/test',
  });
  return new Projector({
    tables,
    databaseUrl,
    reader,
    announcer,
    manifest,
    codec: codecs.status,
    onUnreadable,
    statusTopic: topics.status,
    progressTopic: topics.progress,
    historyMs,
    clock: () => Date.now(),
    logger: quiet,
    health: { ready() {} },
  });
}

/** Runs services of a test and ends them with it. */
export class Running {
  readonly #stop = new AbortController();
  readonly #runs: Promise<unknown>[] = [];

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Stores a failure in `failure`, for tests that expect one. */
  start(run: (signal: AbortSignal) => Promise<unknown>): { failure: unknown; readonly ended: Promise<void> } {
    const state: { failure: unknown; ended: Promise<void> } = {
      failure: undefined,
      ended: Promise.resolve(),
    };
    state.ended = run(this.signal).then(
      () => undefined,
      (error: unknown) => {
        if (!this.signal.aborted) state.failure = error;
      },
    );
    this.#runs.push(state.ended);
    return state;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#runs);
  }
}

export const newId = (): string => randomUUID();
