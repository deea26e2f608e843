import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Admin } from 'kafkajs';
import pg from 'pg';
import { parseSettings } from '../../src/config/settings.ts';
import type { Settings } from '../../src/config/settings.ts';
import { ROLES } from '../../src/config/roles.ts';
import type { Role } from '../../src/config/roles.ts';
import { jobTables, schemaOf } from '../../src/jobs/schema.ts';
import type { JobTables } from '../../src/jobs/schema.ts';
import type { Position } from '../../src/events/position.ts';
import { resourceLog } from '../../src/main/capture-log.ts';
import { LogAccess } from '../../src/main/log-access.ts';
import { freePort } from '../../src/stack/ports.ts';
import type { StackAddresses } from '../../src/stack/stack.ts';
import { removeSubjects } from '../support/leftovers.ts';
import { uniqueIdentifier, uniqueName } from '../support/names.ts';
import { RoleProcess } from './role-process.ts';
import { until } from '../support/until.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** All roles except capture, for tests that kill only capture. */
export const OTHERS: readonly Role[] = ROLES.filter((role) => role !== 'capture');

/** The Headwater of one test, with its own database, topics, folder and processes. */
export class Deployment {
  readonly settings: Settings;
  /** Reads (and, at the end, removes) the topics. */
  readonly log: LogAccess;
  readonly tables: JobTables;
  readonly #addresses: StackAddresses;
  readonly env: Readonly<Record<string, string>>;
  readonly #folder: string;
  readonly #processes: RoleProcess[] = [];
  #admin: Promise<Admin> | undefined;

  private constructor(addresses: StackAddresses, folder: string, env: Readonly<Record<string, string>>) {
    this.#addresses = addresses;
    this.#folder = folder;
    this.env = env;
    this.settings = parseSettings(env, []);
    this.log = new LogAccess(this.settings, quiet);
    this.tables = jobTables(schemaOf(this.settings.topicPrefix));
  }

  static async create(
    addresses: StackAddresses,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<Deployment> {
    const name = uniqueIdentifier('faults');
    await maintain(addresses, (client) => client.query(`CREATE DATABASE ${name}`));
    const database = new URL(addresses.postgresUrl);
    database.pathname = `/${name}`;
    const folder = await mkdtemp(join(tmpdir(), 'headwater-faults-'));
    return new Deployment(addresses, folder, {
      HEADWATER_SOURCE_URL: database.href,
      HEADWATER_KAFKA_BROKERS: addresses.kafkaBrokers.join(','),
      HEADWATER_REGISTRY_URL: addresses.registryUrl,
      HEADWATER_STORAGE_URL: pathToFileURL(folder).href,
      HEADWATER_URL_SECRET: 'a-secret-of-the-tests-and-of-nobody-else',
      HEADWATER_HTTP_PORT: String(await freePort()),
      HEADWATER_SLOT: name,
      HEADWATER_PUBLICATION: name,
      HEADWATER_TOPIC_PREFIX: uniqueName('faults'),
      HEADWATER_RESOURCE_PARTITIONS: '2',
      HEADWATER_REPLAY_THREADS: '1',
      HEADWATER_MAX_JOBS_PER_CLIENT: '1000',
      HEADWATER_MAX_JOBS: '1000',
      ...settings,
    });
  }

  get databaseUrl(): string {
    return this.settings.sourceUrl;
  }

  /** Folder of the export files. */
  get folder(): string {
    return this.#folder;
  }

  get server(): string {
    return `${this.settings.publicUrl}/fhir`;
  }

  start(roles: readonly Role[] = ROLES, settings: Readonly<Record<string, string>> = {}): RoleProcess {
    const started = new RoleProcess(roles, { ...this.env, ...settings });
    this.#processes.push(started);
    return started;
  }

  /** Resolves when every service in the gateway's process is ready. */
  async ready(): Promise<void> {
    await until('readiness', async () => (await fetch(`${this.settings.publicUrl}/readyz`)).ok);
  }

  /** One statement on the source database. */
  async query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.databaseUrl });
    client.on('error', () => undefined); // the query reports it
    await client.connect();
    try {
      return (await client.query<Row>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** Sum of the end offsets of a topic's partitions, including uncommitted records. 0 if the topic is missing. */
  async writtenTo(topic: string): Promise<number> {
    const admin = await this.#connectedAdmin();
    const partitions = await admin.fetchTopicOffsets(topic).catch(() => []);
    return partitions.reduce((sum, { high }) => sum + Number(high), 0);
  }

  /** Capture's position in the log. */
  async position(): Promise<Position | undefined> {
    return resourceLog(this.log, await this.log.codecs(), this.settings.topicPrefix).positions.read();
  }

  async deleteTopic(topic: string): Promise<void> {
    await (await this.#connectedAdmin()).deleteTopics({ topics: [topic] });
  }

  /** Ends every process that still runs. */
  async end(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.end()));
  }

  /** Ends every process that still runs, and removes everything that the deployment made. */
  async remove(): Promise<void> {
    await this.end();
    await this.#removeTopics();
    await maintain(this.#addresses, (client) => dropSlot(client, this.settings.slot));
    await this.dropDatabase();
  }

  /** Removes everything except slot and topics, for a deployment that shares them with another one. */
  async dropDatabase(): Promise<void> {
    await this.log.close();
    const name = new URL(this.databaseUrl).pathname.slice(1);
    await maintain(this.#addresses, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #removeTopics(): Promise<void> {
    const { topicPrefix } = this.settings;
    const admin = await this.#connectedAdmin();
    const topics = (await admin.listTopics()).filter((name) => name.startsWith(topicPrefix));
    await admin.deleteTopics({ topics });
    await admin.disconnect();
    await removeSubjects(this.#addresses.registryUrl, topicPrefix);
  }

  #connectedAdmin(): Promise<Admin> {
    this.#admin ??= (async () => {
      const admin = this.log.kafka.admin();
      await admin.connect();
      return admin;
    })();
    return this.#admin;
  }
}

/** Drops a slot as soon as it has no reader. */
export async function dropSlot(client: pg.Client, slot: string): Promise<void> {
  await until('the slot to be free', async () => {
    const { rows } = await client.query<{ active: boolean }>(
      'SELECT active FROM pg_replication_slots WHERE slot_name = $1',
      [slot],
    );
    if (rows[0]?.active === false) await client.query('SELECT pg_drop_replication_slot($1)', [slot]);
    return rows[0]?.active !== true;
  });
}

function maintain(
  { postgresUrl }: StackAddresses,
  work: (client: pg.Client) => Promise<unknown>,
): Promise<void> {
  return withClient(postgresUrl, work);
}

export async function withClient(
  connectionString: string,
  work: (client: pg.Client) => Promise<unknown>,
): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
