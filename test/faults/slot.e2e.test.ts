import assert from 'node:assert/strict';
import pg from 'pg';
import { sharedStack } from '../support/stack.ts';
import { Deployment, dropSlot, OTHERS } from './deployment.ts';
import { applied, assertChanges, assertLines, assertSnapshot, exportNow } from './exported.ts';
import type { Exported } from './exported.ts';
import type { RoleProcess } from './role-process.ts';
import { SourceWriter } from './source-writer.ts';
import type { Action } from './source-writer.ts';
import { until } from '../support/until.ts';

describe('what happens to the source', function () {
  this.timeout(240_000);
  let headwater: Deployment;
  let writer: SourceWriter;
  let capture: RoleProcess;
  /** The state of a client that applied every export. */
  let client: Exported;
  let at: number;

  before(async () => {
    headwater = await Deployment.create(sharedStack());
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Observation', 'big-', 500);
    await writer.bulk('Patient', 'p', 500);
    capture = headwater.start(['capture']);
    headwater.start(OTHERS);
    client = await exportNow({ server: headwater.server });
    at = assertSnapshot(client, writer.history);
  });

  afterEach(function () {
    if (this.currentTest?.state === 'failed')
      console.log('capture runs:', capture.running, capture.lines.slice(-20).join('\n'));
  });

  after(async () => {
    await writer?.close();
    await headwater?.remove();
  });

  it('loads all again after a dropped slot, with deletes for missing rows', async () => {
    await capture.kill();
    await dropped();
    await writer.commit(
      actions({ 'Patient/p1': 'delete', 'Patient/p2': 'mark', 'Patient/p3': 'put', 'Patient/new': 'put' }),
    );
    capture = headwater.start(['capture']);
    await capture.logged(/capture starts: reload/);
    const since = await taken();
    assert.deepEqual(since.deleted, new Set(['Patient/p1', 'Patient/p2']));
  });

  it('starts a reload over after a kill', async () => {
    await capture.kill();
    await dropped();
    await writer.commit(actions({ 'Patient/p4': 'delete', 'Patient/p5': 'put' }));
    await writer.bulk('Observation', 'big-', 20_000);
    const before = await headwater.writtenTo(headwater.log.names.resource('Observation'));
    capture = headwater.start(['capture']);
    await until(
      'half a reload',
      async () => (await headwater.writtenTo(headwater.log.names.resource('Observation'))) > before,
    );
    await capture.kill();
    await writer.commit(actions({ 'Patient/p6': 'delete' }));
    capture = headwater.start(['capture']);
    await capture.logged(/capture starts: reload/);
    const since = await taken();
    assert.deepEqual(since.deleted, new Set(['Patient/p4', 'Patient/p6']));
  });

  it('loads all again and loses nothing when REPLICA IDENTITY is no longer FULL', async () => {
    await headwater.query('ALTER TABLE resource REPLICA IDENTITY DEFAULT');
    await writer.commit(actions({ 'Observation/big-1': 'touch', 'Patient/p7': 'delete' }));
    await capture.logged(/REPLICA IDENTITY/);
    await writer.commit(actions({ 'Observation/big-2': 'touch', 'Patient/p8': 'put' }));
    const since = await taken();
    assert.deepEqual(since.deleted, new Set(['Patient/p7']));
    const [table] = await headwater.query<{ identity: string }>(
      `SELECT relreplident AS identity FROM pg_class WHERE oid = 'resource'::regclass`,
    );
    assert.equal(table?.identity, 'f');
  });

  it('follows columns that are added, moved and dropped while capture runs', async () => {
    const { length } = writer.history;
    await writer.commit(actions({ 'Patient/a': 'put', 'Observation/big-3': 'touch' }));
    await headwater.query(`ALTER TABLE resource ADD note text DEFAULT 'none'`);
    await writer.commit(actions({ 'Patient/a': 'put', 'Observation/big-4': 'touch' }));
    await headwater.query(`ALTER TABLE resource DROP version, ADD version bigint NOT NULL DEFAULT 0`);
    await headwater.query(`UPDATE resource SET version = (body::jsonb -> 'meta' ->> 'versionId')::bigint`);
    await headwater.query('ALTER TABLE resource DROP note');
    const exported = await exportNow({ server: headwater.server });
    assert.equal(assertSnapshot(exported, writer.history), length + 2);
  });

  it('releases write-ahead log while the table is idle in a busy database', async () => {
    await headwater.query('CREATE TABLE unrelated (n int)');
    const [before] = await headwater.query<{ lsn: string }>('SELECT pg_current_wal_lsn() AS lsn');
    await until(
      'the slot to pass what is not its own',
      async () => {
        await headwater.query('INSERT INTO unrelated SELECT generate_series(1, 100)');
        const [slot] = await headwater.query<{ passed: boolean }>(
          'SELECT confirmed_flush_lsn > $1 AS passed FROM pg_replication_slots WHERE slot_name = $2',
          [before?.lsn, headwater.settings.slot],
        );
        return slot?.passed;
      },
      { everyMs: 200 },
    );
  });

  function actions(given: Readonly<Record<string, Action>>): Map<string, Action> {
    return new Map(Object.entries(given));
  }

  async function dropped(): Promise<void> {
    const connection = new pg.Client({ connectionString: headwater.databaseUrl });
    await connection.connect();
    await dropSlot(connection, headwater.settings.slot);
    await connection.end();
  }

  /** The client applies the changes since its last export, and must then equal the database. */
  async function taken(): Promise<Exported> {
    const since = await exportNow({ server: headwater.server, since: client.transactionTime });
    const output = applied(client.output, since);
    at = writer.history.length;
    assertLines(output, writer.history.stateAfter(at), 'what the client has');
    const full = await exportNow({ server: headwater.server });
    assert.equal(assertSnapshot(full, writer.history), at);
    client = { ...since, output };
    // From here on it is as if nothing had been.
    await writer.commit(actions({ 'Patient/after': 'put' }));
    const after = await exportNow({ server: headwater.server, since: client.transactionTime });
    at = assertChanges(after, writer.history, at);
    client = { ...after, output: applied(client.output, after) };
    return since;
  }
});
