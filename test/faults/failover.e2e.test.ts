import assert from 'node:assert/strict';
import pg from 'pg';
import { sharedStack } from '../support/stack.ts';
import { Deployment, OTHERS } from './deployment.ts';
import { exportNow } from './exported.ts';
import { PostgresPair } from './postgres-pair.ts';
import { until } from '../support/until.ts';

describe('a source that fails over', function () {
  this.timeout(300_000);
  let pair: PostgresPair;
  let headwater: Deployment;

  before(async () => {
    pair = await PostgresPair.create();
    headwater = await Deployment.create({ ...sharedStack(), postgresUrl: pair.primary.url });
  });

  after(async () => {
    await headwater?.remove().catch(() => undefined); // its database may be gone
    await pair?.remove();
  });

  it('is loaded again after a failover to a standby that lacks commits, and exports match it', async () => {
    const database = new URL(headwater.databaseUrl).pathname.slice(1);
    const promotedUrl = `postgresql://headwater@127.0.0.1:${String(pair.standby.port)}/${database}`;
    await headwater.query(`CREATE TABLE resource (type text, id text, version bigint, last_updated timestamptz, body text,
      deleted boolean DEFAULT false, PRIMARY KEY (type, id))`);
    await headwater.query(insert('kept'));
    const capture = headwater.start(['capture']);
    await capture.logged(/first-load: 1 resources/, 120_000);
    await pair.startStandby();
    await pair.standby.kill();

    const before = await headwater.writtenTo(headwater.log.names.resource('Patient'));
    await headwater.query(insert('lost'));
    await until(
      'the log to have what the standby lacks',
      async () => (await headwater.writtenTo(headwater.log.names.resource('Patient'))) > before,
    );
    await headwater.query(`SELECT pg_switch_wal()`);
    await until('the position to be stored', async () => {
      const [slot] = await headwater.query<{ stored: boolean }>(
        `SELECT confirmed_flush_lsn > pg_current_wal_lsn() - 16777216 AS stored FROM pg_replication_slots`,
      );
      return slot?.stored;
    });
    await capture.kill();
    await pair.primary.kill();

    await pair.standby.start();
    await pair.standby.query('SELECT pg_promote()');
    // A slot of that name, as synchronized ones are; then writes until the position lies in the new primary's log.
    const { slot } = headwater.settings;
    await ask(promotedUrl, `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    await ask(promotedUrl, insert('new'));
    await ask(promotedUrl, 'SELECT pg_switch_wal()');
    await ask(promotedUrl, insert('newer'));

    const env = { HEADWATER_SOURCE_URL: promotedUrl };
    const again = headwater.start(['capture'], env);
    await again.logged(/capture starts: reload, since the source was promoted to timeline 2/, 120_000);
    headwater.start(OTHERS, env);
    const exported = await exportNow({ server: headwater.server });
    assert.deepEqual([...exported.output.keys()].sort(), ['Patient/kept', 'Patient/new', 'Patient/newer']);
  });
});

describe('a source whose standby keeps the slot', function () {
  this.timeout(300_000);
  let pair: PostgresPair;
  let headwater: Deployment;

  before(async () => {
    pair = await PostgresPair.create();
    headwater = await Deployment.create(
      { ...sharedStack(), postgresUrl: pair.primary.url },
      { HEADWATER_SLOT_FAILOVER: 'true' },
    );
  });

  after(async () => {
    await headwater?.remove().catch(() => undefined); // its database may be gone
    await pair?.remove();
  });

  it('is followed on after a failover, without a reload, and nothing is lost or repeated', async () => {
    const database = new URL(headwater.databaseUrl).pathname.slice(1);
    const promotedUrl = `postgresql://headwater@127.0.0.1:${String(pair.standby.port)}/${database}`;
    await headwater.query(`CREATE TABLE resource (type text, id text, version bigint, last_updated timestamptz, body text,
      deleted boolean DEFAULT false, PRIMARY KEY (type, id))`);
    await headwater.query(insert('loaded'));
    const capture = headwater.start(['capture']);
    await capture.logged(/first-load: 1 resources/, 120_000);
    await pair.startStandby(true);
    const topic = headwater.log.names.resource('Patient');
    const before = await headwater.writtenTo(topic);
    await headwater.query(insert('streamed'));
    await until('the log to have it', async () => (await headwater.writtenTo(topic)) > before, {
      timeoutMs: 90_000,
    });
    await until(
      'the standby to keep the slot',
      async () => {
        const [slot] = await pair.standby.query<{ kept: boolean }>(
          'SELECT synced AND NOT temporary AS kept FROM pg_replication_slots WHERE slot_type = $$logical$$',
        );
        return slot?.kept;
      },
      { timeoutMs: 120_000 },
    );
    await capture.kill();
    await pair.primary.kill();

    await pair.standby.query('SELECT pg_promote()');
    await ask(promotedUrl, insert('later'));
    const env = { HEADWATER_SOURCE_URL: promotedUrl };
    const again = headwater.start(['capture'], env);
    await again.logged(/capture starts: stream/, 120_000);
    headwater.start(OTHERS, env);
    const exported = await exportNow({ server: headwater.server });
    assert.deepEqual([...exported.output.keys()].sort(), [
      'Patient/later',
      'Patient/loaded',
      'Patient/streamed',
    ]);
  });
});

function insert(id: string): string {
  return `INSERT INTO resource VALUES ('Patient', '${id}', 1, now(), '{"resourceType":"Patient","id":"${id}"}')`;
}

async function ask(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(text);
  await client.end();
}
