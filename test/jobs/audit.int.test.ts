import assert from 'node:assert/strict';
import { done } from '../../src/audit/entries.ts';
import { verifyChain } from '../../src/audit/verify.ts';
import type { AuditRecord } from '../../src/events/audit.ts';
import { RequestSeal } from '../../src/events/request-seal.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import { readAnnounced } from '../../src/jobs/announced.ts';
import { AuditTrail } from '../../src/jobs/audit-trail.ts';
import { rebuild } from '../../src/jobs/rebuild.ts';
import { JobRequests } from '../../src/jobs/requests.ts';
import { jobEvents } from './events.ts';
import { jobServers, makeProjector, manifest, newId, Running } from './job-servers.ts';
import type { JobServers } from './job-servers.ts';
import { until } from '../support/until.ts';

const agent = { address: '10.0.0.7', client: 'warehouse' };

describe('the audit log', () => {
  let servers: JobServers;
  let running: Running;
  let trail: AuditTrail;
  let requests: JobRequests;

  beforeEach(async () => {
    servers = await jobServers();
    running = new Running();
    trail = new AuditTrail(servers.pool, servers.tables);
    requests = new JobRequests({
      ...{ pool: servers.pool, tables: servers.tables, newId },
      limits: { perClient: 10, inAll: 100 },
      messagePrefix: servers.prefix,
      seal: new RequestSeal('a secret of the tests'),
    });
  });
  afterEach(async () => {
    await running.stop();
    await servers.remove();
  });

  async function* stored(): AsyncIterable<{ record: AuditRecord; value: Buffer }> {
    for (const { value } of await servers.records(servers.topics.audit))
      yield { record: servers.codecs.audit.decode(value), value };
  }

  async function kinds(): Promise<string[]> {
    const found: string[] = [];
    for await (const { record } of stored()) found.push(record.kind);
    return found;
  }

  const ask = (): Promise<string> =>
    requests.submit({ clientId: 'c', requestUrl: 'http://x', parameters: EVERYTHING, agent });

  /** An export that the log knows as complete. */
  async function completed(): Promise<string> {
    const jobId = await ask();
    const events = jobEvents(jobId);
    await servers.append(events.planned(10), events.completed('0001', 'Patient'));
    return jobId;
  }

  async function assertWhole(): Promise<void> {
    const { audit } = await readAnnounced(
      { reader: servers.reader, topic: servers.topics.announced, codec: servers.codecs.announced },
      running.signal,
    );
    const { problems, last } = await verifyChain(stored(), audit, 0);
    assert.deepEqual(problems, []);
    assert.equal(last, audit.seq);
  }

  it('has request, plan and completion of an export in this order, with who asked', async () => {
    const jobId = await completed();
    running.start((signal) => makeProjector(servers).run(signal));
    await until('three records', async () => (await kinds()).length === 3);
    assert.deepEqual(await kinds(), ['export.requested', 'export.planned', 'export.completed']);
    for await (const { record } of stored()) {
      const text = record.fhir.toString();
      assert.match(text, /"identifier":\{"value":"warehouse"\}/, record.kind);
      assert.ok(text.includes(jobId));
    }
    await assertWhole();
  });

  it('has a request exactly when it was accepted, and a cancel exactly when it took effect', async () => {
    const jobId = await ask();
    for (let i = 1; i < 10; i++) await ask();
    await assert.rejects(ask(), /unfinished/);
    assert.equal(await requests.cancel(jobId, 'another', agent), false);
    assert.equal(await requests.cancel(jobId, 'c', agent), true);
    assert.equal(await requests.cancel(jobId, 'c', agent), false);
    running.start((signal) => makeProjector(servers).run(signal));
    await until('eleven records', async () => (await kinds()).length === 11);
    const counts = Map.groupBy(await kinds(), (kind) => kind);
    assert.equal(counts.get('export.requested')?.length, 10);
    assert.equal(counts.get('export.cancelled')?.length, 1);
  });

  it('has each entry once over projectors that follow each other, and over a rebuild', async () => {
    const jobs: string[] = [];
    const ids = new Set<string>();
    for (let round = 0; round < 4; round++) {
      const projector = new Running();
      projector.start((signal) => makeProjector(servers).run(signal));
      jobs.push(await completed());
      await Promise.all(
        Array.from({ length: 25 }, () => {
          const entry = done('manifest.read', { agent });
          ids.add(entry.id);
          return trail.record(entry);
        }),
      );
      await projector.stop();
    }
    await rebuild(
      {
        ...{ tables: servers.tables, databaseUrl: servers.databaseUrl, reader: servers.reader, manifest },
        ...{ codec: servers.codecs.status, onUnreadable: servers.onUnreadable },
        statusTopic: servers.topics.status,
        announced: { topic: servers.topics.announced, codec: servers.codecs.announced },
      },
      running.signal,
    );
    running.start((signal) => makeProjector(servers).run(signal));
    const expected = 3 * jobs.length + ids.size;
    await until('all records', async () => (await kinds()).length >= expected);
    assert.equal((await kinds()).length, expected);
    for await (const { record } of stored()) ids.delete(record.id);
    assert.equal(ids.size, 0);
    await assertWhole();
  });

  it('leaves out a row that is in the log already, though a crash kept it in the table', async () => {
    running.start((signal) => makeProjector(servers).run(signal));
    await trail.record(done('manifest.read', { agent }));
    await until('a record', async () => (await kinds()).length === 1);
    await running.stop();
    // As after a crash between the transaction of Kafka and that of the database: the row has its number, and nothing else has happened.
    running = new Running();
    running.start((signal) => makeProjector(servers).run(signal));
    await trail.record(done('file.downloaded', { agent }));
    await until('two records', async () => (await kinds()).length === 2);
    assert.deepEqual(await kinds(), ['manifest.read', 'file.downloaded']);
  });

  it('has everything in order that waited while no projector ran', async () => {
    const ids: string[] = [];
    for (let round = 0; round < 3; round++) {
      const entries = Array.from({ length: 450 }, () => done('manifest.read', { agent }));
      await Promise.all(entries.map((entry) => trail.record(entry)));
      ids.push(...entries.map(({ id }) => id));
    }
    running.start((signal) => makeProjector(servers).run(signal));
    await until('all records', async () => (await kinds()).length >= ids.length);
    const found: AuditRecord[] = [];
    for await (const { record } of stored()) found.push(record);
    assert.deepEqual(new Set(found.map(({ id }) => id)), new Set(ids));
    assert.deepEqual(
      found.map(({ at }) => at),
      found.map(({ at }) => at).sort((a, b) => a - b),
    );
    await assertWhole();
  });

  it('stores an entry of one id once, however often it comes', async () => {
    const entry = done('manifest.read', { agent });
    await Promise.all([trail.record(entry), trail.record(entry)]);
    await trail.record(entry);
    const { rows } = await servers.pool.query(`SELECT id FROM ${servers.tables.audit}`);
    assert.deepEqual(rows, [{ id: entry.id }]);
  });

  it('stores text that jsonb does not take without what it does not take', async () => {
    await trail.record(done('manifest.read', { agent: { client: 'a\0b\ud800', address: "o'hare" } }));
    const { rows } = await servers.pool.query<{ entry: { agent: object } }>(
      `SELECT entry FROM ${servers.tables.audit}`,
    );
    assert.deepEqual(rows[0]?.entry.agent, { client: 'ab\ufffd', address: "o'hare" });
  });
});
