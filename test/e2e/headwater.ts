import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import pg from 'pg';
import { resources } from '../../topics/resources.ts';
import type { Logger } from '../../src/base/service.ts';
import type { Role } from '../../src/config/roles.ts';
import { parseSettings } from '../../src/config/settings.ts';
import type { Settings } from '../../src/config/settings.ts';
import { jobTables, schemaOf } from '../../src/jobs/schema.ts';
import type { JobTables } from '../../src/jobs/schema.ts';
import { LogAccess } from '../../src/main/log-access.ts';
import { runRoles } from '../../src/main/roles.ts';
import { freePort } from '../../src/stack/ports.ts';
import { PATIENCE_MS, until } from '../support/until.ts';
import { removeSubjects } from '../support/leftovers.ts';
import { uniqueIdentifier, uniqueName } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

export const MAX_RESOURCE_BYTES = 5_200_000;
const READY_MS = PATIENCE_MS;
/** Longer than any export of these tests, so that compaction does not remove versions at an export's cut. */
const LAG_MS = 1.25 * PATIENCE_MS;
/** kafkajs's ConfigResourceTypes.TOPIC, which it has in its types only. */
const TOPIC = 2;

/** Roles that start and stop together. */
const PARTS = {
  gateway: ['gateway'],
  capture: ['capture'],
  work: ['planner', 'worker', 'projector', 'janitor'],
} as const satisfies Record<string, readonly Role[]>;
type Part = keyof typeof PARTS;

interface Running {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** A whole Headwater in this process, with its own database, topics and files. */
export class Headwater {
  readonly settings: Settings;
  readonly jsonb: boolean;
  readonly pool: pg.Pool;
  readonly log: LogAccess;
  readonly tables: JobTables;
  readonly directory: string;
  /** Warnings and errors, newest last. */
  readonly trouble: string[] = [];
  /** min.compaction.lag.ms of each topic for which this class set it. */
  readonly #lags = new Map<string, number>();
  readonly #running = new Map<Part, Running>();

  private constructor(settings: Settings, options: { directory: string; jsonb: boolean }) {
    this.settings = settings;
    this.directory = options.directory;
    this.jsonb = options.jsonb;
    this.pool = new pg.Pool({ connectionString: settings.sourceUrl });
    this.pool.on('error', () => undefined);
    this.log = new LogAccess(settings, this.#logger());
    this.tables = jobTables(schemaOf(settings.topicPrefix));
  }

  /**
   * Not started; the source table is there and empty. `cluster` names three brokers instead of the shared one; `others` are
   * settings by their names.
   */
  static async make(
    jsonb: boolean,
    cluster?: readonly string[],
    others: Readonly<Record<string, string>> = {},
  ): Promise<Headwater> {
    const { postgresUrl, registryUrl, kafkaBrokers: shared } = sharedStack();
    const kafkaBrokers = cluster ?? shared;
    const name = uniqueIdentifier('histories');
    const directory = await mkdtemp(join(tmpdir(), 'headwater-histories-'));
    const sourceUrl = new URL(postgresUrl);
    sourceUrl.pathname = `/${name}`;
    await administer(`CREATE DATABASE ${name}`);
    const settings = parseSettings({
      HEADWATER_SOURCE_URL: sourceUrl.href,
      HEADWATER_SLOT: name,
      HEADWATER_KAFKA_BROKERS: kafkaBrokers.join(','),
      HEADWATER_REGISTRY_URL: registryUrl,
      HEADWATER_TOPIC_PREFIX: uniqueName('histories'),
      HEADWATER_STORAGE_URL: pathToFileURL(join(directory, 'files')).href,
      HEADWATER_HTTP_PORT: String(await freePort()),
      HEADWATER_URL_SECRET: 'a secret of tests that signs nothing else',
      HEADWATER_EXPORT_BINARY: 'true', // the histories also write Binary and expect all types
      HEADWATER_RESOURCE_PARTITIONS: '3',
      HEADWATER_MAX_RESOURCE_BYTES: String(MAX_RESOURCE_BYTES),
      HEADWATER_MAX_JOBS: '1000',
      HEADWATER_MAX_JOBS_PER_CLIENT: '1000',
      // Small, so that both lanes, several tasks and several files come of little data.
      HEADWATER_QUICK_BYTES: '64KiB',
      HEADWATER_TASK_BYTES: '256KiB',
      HEADWATER_FILE_BYTES: '64KiB',
      HEADWATER_REPLAY_THREADS: '2',
      ...(cluster && { HEADWATER_REPLICATION_FACTOR: '3' }),
      ...others,
    });
    const headwater = new Headwater(settings, { directory, jsonb });
    await headwater.pool.query(`
      CREATE TABLE resource (type text NOT NULL, id text NOT NULL, version bigint NOT NULL, last_updated timestamptz NOT NULL,
        body ${jsonb ? 'jsonb' : 'text'}, deleted boolean NOT NULL DEFAULT false, PRIMARY KEY (type, id))`);
    return headwater;
  }

  /** Base of the FHIR endpoint. */
  get base(): string {
    return `${this.settings.publicUrl}/fhir`;
  }

  /** Starts all roles except capture, so that requests come before the first load. */
  async startServing(): Promise<void> {
    await this.#start('gateway');
    await this.#start('work');
  }

  startCapture(): Promise<void> {
    return this.#start('capture');
  }

  async restart(part: 'capture' | 'work'): Promise<void> {
    await this.#stop(part);
    await this.#start(part);
  }

  /**
   * Lets the broker take old versions away all the time, as in a log that is days old: all but those of the last minutes,
   * which running exports may need.
   */
  async compactEagerly(lagMs = LAG_MS): Promise<void> {
    // Brokers may be away meanwhile.
    const names = await until('the brokers to take the configuration', () => this.#alterLag(lagMs));
    for (const name of names) this.#lags.set(name, lagMs);
  }

  /** Resolves to the topics that it has altered. */
  async #alterLag(lagMs: number): Promise<readonly string[]> {
    const types = await this.log.admin.listResourceTypes();
    const names = types
      .map((type) => this.log.names.resource(type))
      .filter((name) => this.#lags.get(name) !== lagMs);
    if (names.length === 0) return [];
    const admin = this.log.kafka.admin();
    await admin.connect();
    const own = resources.config({
      resourcePartitions: 1,
      replicationFactor: this.settings.replicationFactor ?? 1,
      compactionLagMs: lagMs,
    });
    const eager = {
      ...own,
      'segment.ms': '500',
      'min.cleanable.dirty.ratio': '0',
      'file.delete.delay.ms': '1000',
    };
    const configEntries = Object.entries(eager).map(([name, value]) => ({ name, value }));
    const altered = names.map((name) => ({ type: TOPIC, name, configEntries }));
    // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the enum is not there at run time
    await admin.alterConfigs({ validateOnly: false, resources: altered }).finally(() => admin.disconnect());
    return names;
  }

  /** A new connection. */
  async connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.settings.sourceUrl });
    await client.connect();
    await client.query(`SET deadlock_timeout = '50ms'`);
    return client;
  }

  async remove(): Promise<void> {
    for (const part of ['capture', 'work', 'gateway'] as const) await this.#stop(part);
    const admin = this.log.kafka.admin();
    await admin.connect();
    const ours = (name: string): boolean => name.startsWith(this.settings.topicPrefix);
    await admin.deleteTopics({ topics: (await admin.listTopics()).filter(ours) });
    const { groups } = await admin.listGroups();
    await admin.deleteGroups(groups.map(({ groupId }) => groupId).filter(ours));
    await admin.disconnect();
    await removeSubjects(this.settings.registryUrl, this.settings.topicPrefix);
    await this.log.close();
    await until('the replication slot to be dropped', () => this.#dropSlot());
    await this.pool.end();
    await administer(`DROP DATABASE ${this.settings.slot} WITH (FORCE)`);
    await rm(this.directory, { recursive: true, force: true });
  }

  async #start(part: Part): Promise<void> {
    this.#lags.clear(); // topics are made as declared again
    const stop = new AbortController();
    const ready = new EventTarget();
    const waiting = once(ready, 'ready', { signal: AbortSignal.timeout(READY_MS) });
    const ended = runRoles(
      { ...this.settings, roles: PARTS[part] },
      { logger: this.#logger(), signal: stop.signal, onReady: () => ready.dispatchEvent(new Event('ready')) },
    );
    this.#running.set(part, { stop, ended });
    await Promise.race([waiting, ended.then(() => assert.fail(`${part} ended before it was ready`))]);
  }

  async #stop(part: Part): Promise<void> {
    const running = this.#running.get(part);
    this.#running.delete(part);
    running?.stop.abort();
    await running?.ended;
  }

  /** A slot stays active until PostgreSQL notices that its connection has ended. */
  async #dropSlot(): Promise<boolean> {
    await this.pool.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active',
      [this.settings.slot],
    );
    const left = await this.pool.query('SELECT FROM pg_replication_slots WHERE slot_name = $1', [
      this.settings.slot,
    ]);
    return left.rowCount === 0;
  }

  #logger(): Logger {
    const keep = (fields: object, message: string): void => {
      const { err } = fields as { err?: unknown };
      this.trouble.push(err === undefined ? message : `${message} ${inspect(err)}`);
      if (this.trouble.length > 100) this.trouble.shift();
    };
    return { debug() {}, info() {}, warn: keep, error: keep };
  }
}

async function administer(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: sharedStack().postgresUrl });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
