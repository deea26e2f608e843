import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../../src/base/service.ts';
import { parseSettings } from '../../src/config/settings.ts';
import type { Settings } from '../../src/config/settings.ts';
import { LogAccess } from '../../src/main/log-access.ts';
import { runRoles } from '../../src/main/roles.ts';
import { uniqueIdentifier, uniqueName } from '../support/names.ts';
import { freePort } from '../../src/stack/ports.ts';
import { sharedStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const nothing = (): void => undefined;
const SILENT: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

describe('the lag metric of a capture that runs', function () {
  this.timeout(120_000);
  const name = uniqueIdentifier('lag');
  const stop = new AbortController();
  let settings: Settings;
  let pool: pg.Pool;
  let running: Promise<void>;

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
        HEADWATER_TOPIC_PREFIX: uniqueName('lag'),
        HEADWATER_RESOURCE_PARTITIONS: '1',
        HEADWATER_URL_SECRET: 'x'.repeat(32),
        HEADWATER_PROBE_PORT: String(await freePort()),
      },
      ['capture'],
    );
    pool = new pg.Pool({ connectionString: settings.sourceUrl });
    await pool.query(`
      CREATE TABLE resource (type text, id text, version bigint, last_updated timestamptz, body text, deleted boolean DEFAULT false,
        PRIMARY KEY (type, id));
      CREATE TABLE other (n int)`);
    const ready = Promise.withResolvers<undefined>();
    const onReady = (): void => ready.resolve(undefined);
    running = runRoles(settings, { logger: SILENT, signal: stop.signal, onReady });
    await Promise.race([ready.promise, running]);
  });

  after(async () => {
    stop.abort();
    await running;
    await pool.query('SELECT pg_drop_replication_slot($1)', [name]);
    await pool.end();
    await administer(`DROP DATABASE ${name}`);
    const log = new LogAccess(settings, SILENT);
    const admin = log.kafka.admin();
    await admin.connect();
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(`${settings.topicPrefix}.`));
    await admin.deleteTopics({ topics });
    await admin.disconnect();
    await log.close();
  });

  it('is 0 once all is stored, and stays so while the source writes what is not ours', async () => {
    await until('capture to catch up', async () => (await lag()) === 0);
    for (let i = 0; i < 4; i++) {
      await pool.query('INSERT INTO other SELECT generate_series(1, 1000)');
      if (i === 1) await pool.query('CHECKPOINT');
      await delay(1_000); // as long as between two probes
      await until('capture to catch up', async () => (await lag()) === 0);
    }
  });

  it('is more than 0 while a large transaction is stored, and 0 afterwards', async () => {
    const inserted = pool.query(`INSERT INTO resource (type, id, version, last_updated, body)
      SELECT 'Patient', 'p' || n, 1, now(), format('{"resourceType":"Patient","id":"p%s"}', n) FROM generate_series(1, 60000) n`);
    await inserted;
    await until('capture to lag', async () => ((await lag()) ?? 0) > 0);
    await until('capture to catch up', async () => (await lag()) === 0);
  });

  async function lag(): Promise<number | undefined> {
    const answer = await fetch(`http://127.0.0.1:${String(settings.probePort)}/metrics`);
    const [, value] = /^headwater_capture_lag_seconds (\S+)$/m.exec(await answer.text()) ?? [];
    return value === undefined ? undefined : Number(value);
  }
});

async function administer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: sharedStack().postgresUrl });
  await client.connect();
  await client.query(sql);
  await client.end();
}
