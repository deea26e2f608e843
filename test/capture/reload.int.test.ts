import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { offset } from '../../src/base/positions.ts';
import type { Logger } from '../../src/base/service.ts';
import { parseSettings } from '../../src/config/settings.ts';
import type { Settings } from '../../src/config/settings.ts';
import { RequestSeal } from '../../src/events/request-seal.ts';
import { JobRequests } from '../../src/jobs/requests.ts';
import { jobTables, schemaOf } from '../../src/jobs/schema.ts';
import { LogAccess } from '../../src/main/log-access.ts';
import { runRoles } from '../../src/main/roles.ts';
import { uniqueIdentifier, uniqueName } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import type { ResourceChange } from '../../src/events/resource-change.ts';

const DAY = 24 * 3_600_000;
const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

describe('a reload, when Kafka has forgotten old commands', function () {
  this.timeout(120_000);
  const name = uniqueIdentifier('reload');
  let settings: Settings;
  let pool: pg.Pool;
  let log: LogAccess;

  before(async () => {
    const { postgresUrl, kafkaBrokers, registryUrl } = sharedStack();
    const source = new URL(postgresUrl);
    source.pathname = `/${name}`;
    await administer(`CREATE DATABASE ${name}`);
    settings = parseSettings(
      {
        HEADWATER_SOURCE_URL: source.href,
        HEADWATER_SLOT: name,
        HEADWATER_KAFKA_BROKERS: kafkaBrokers.join(','),
        HEADWATER_REGISTRY_URL: registryUrl,
        HEADWATER_TOPIC_PREFIX: uniqueName('reload'),
        HEADWATER_RESOURCE_PARTITIONS: '1',
        HEADWATER_URL_SECRET: 'x'.repeat(32),
      },
      ['capture'],
    );
    pool = new pg.Pool({ connectionString: settings.sourceUrl });
    log = new LogAccess(settings, SILENT);
    await pool.query(`
      CREATE TABLE resource (type text, id text, version bigint, last_updated timestamptz, body text, deleted boolean DEFAULT false,
        PRIMARY KEY (type, id));
      INSERT INTO resource VALUES ('Patient', 'a', 1, now(), '{"resourceType":"Patient","id":"a"}')`);
  });

  after(async () => {
    await dropSlot();
    await pool.end();
    await administer(`DROP DATABASE ${name}`);
    const admin = log.kafka.admin();
    await admin.connect();
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(`${settings.topicPrefix}.`));
    await admin.deleteTopics({ topics });
    await admin.disconnect();
    await log.close();
  });

  it('goes on, and commands no export again that has long ended', async () => {
    await whileCapturing(async () => {
      const old = await submit();
      await backdate(old, 2 * DAY);
      await until('the command in the log', async () => (await commanded()).includes(old));
    });
    await forgetCommands();
    const recent = await submit();
    await dropSlot();
    await whileCapturing(() => Promise.resolve());
    assert.deepEqual(await commanded(), [recent]);
  });

  it('names the patient whose compartment a resource left while no slot followed it', async () => {
    const observation = (id: string, patient: string): string =>
      JSON.stringify({ resourceType: 'Observation', id, subject: { reference: `Patient/${patient}` } });
    await pool.query(
      `INSERT INTO resource (type, id, version, body) VALUES ('Observation', 'moves', 1, $1), ('Observation', 'stays', 1, $2)`,
      [observation('moves', 'a'), observation('stays', 'a')],
    );
    await whileCapturing(async () => {
      await until('both observations in the log', async () => (await newest('Observation')).size === 2);
    });
    await dropSlot();
    await pool.query(`UPDATE resource SET body = $1, version = 2 WHERE id = 'moves'`, [
      observation('moves', 'b'),
    ]);
    await whileCapturing(() => Promise.resolve());
    const found = await newest('Observation');
    assert.deepEqual(found.get('Observation/moves')?.patients, ['b']);
    assert.deepEqual(found.get('Observation/moves')?.leftPatients, ['a']);
    assert.deepEqual(found.get('Observation/stays')?.leftPatients, []);
    await dropSlot();
    await whileCapturing(() => Promise.resolve());
    const again = await newest('Observation');
    assert.deepEqual(again.get('Observation/moves')?.leftPatients, ['a'], 'kept by a further reload');
  });

  /** The newest record of each key of a type. */
  async function newest(type: string): Promise<ReadonlyMap<string, ResourceChange>> {
    const { change } = await log.codecs();
    const topic = log.names.resource(type);
    const found = new Map<string, ResourceChange>();
    for (const [partition, to] of (await log.reader.ends(topic)).entries()) {
      const range = { topic, partition, from: offset(0), to };
      for await (const records of log.reader.read(range, AbortSignal.timeout(20_000)))
        for (const { key, value } of records) found.set(key.toString(), change.decode(value));
    }
    return found;
  }

  /** Runs capture; the work begins when it follows the stream. */
  async function whileCapturing(work: () => Promise<void>): Promise<void> {
    const stop = new AbortController();
    const ready: PromiseWithResolvers<void> = Promise.withResolvers();
    const running = runRoles(settings, {
      logger: SILENT,
      signal: stop.signal,
      onReady: () => ready.resolve(),
    });
    try {
      await Promise.race([ready.promise, running]);
      await work();
    } finally {
      stop.abort();
      await running;
    }
  }

  async function submit(): Promise<string> {
    const requests = new JobRequests({
      pool,
      tables: jobTables(schemaOf(settings.topicPrefix)),
      messagePrefix: settings.topicPrefix,
      seal: new RequestSeal(settings.urlSecret),
      limits: { perClient: 10, inAll: 10 },
      newId: randomUUID,
    });
    return requests.submit({
      clientId: 'c',
      requestUrl: 'http://x/fhir/$export',
      parameters: EVERYTHING,
    });
  }

  /** As if it had been accepted so many ms earlier. */
  async function backdate(jobId: string, ms: number): Promise<void> {
    const { request } = jobTables(schemaOf(settings.topicPrefix));
    await pool.query(`UPDATE ${request} SET accepted_at = accepted_at - $2 WHERE job_id = $1`, [jobId, ms]);
  }

  /** Job ids of the commands that the log still has. */
  async function commanded(): Promise<string[]> {
    const topic = log.names.commands;
    const found: string[] = [];
    const starts = await log.reader.offsetsAt(topic, 0);
    for (const [partition, to] of (await log.reader.ends(topic)).entries()) {
      const range = { topic, partition, from: starts[partition] ?? offset(0), to };
      for await (const records of log.reader.read(range, AbortSignal.timeout(20_000)))
        found.push(...records.map(({ key }) => key.toString()));
    }
    return found;
  }

  async function forgetCommands(): Promise<void> {
    const topic = log.names.commands;
    const admin = log.kafka.admin();
    await admin.connect();
    const partitions = (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => ({
      partition,
      offset: high,
    }));
    await admin.deleteTopicRecords({ topic, partitions });
    await admin.disconnect();
  }

  async function dropSlot(): Promise<void> {
    await pool.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
      [name],
    );
  }
});

async function administer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: sharedStack().postgresUrl });
  await client.connect();
  await client.query(sql);
  await client.end();
}
