import assert from 'node:assert/strict';
import pg from 'pg';
import { kickOff } from '../../src/client/export-client.ts';
import type { ExportRequest } from '../../src/client/export-request.ts';
import { sharedStack } from '../support/stack.ts';
import { Deployment, dropSlot, OTHERS } from './deployment.ts';
import { applied, download, manifestOf } from './exported.ts';
import type { Exported } from './exported.ts';
import { jobOf } from './job-log.ts';
import type { RoleProcess } from './role-process.ts';

const PATIENTS = 40;
const EACH = 20;
/** Of 32 bytes in a body: enough for zones, and for gaps that are worth while. */
const PIECES = 190;

/** Exports of few patients from a log large enough that most of it is passed over. */
describe('zones, on a log that is followed', function () {
  this.timeout(240_000);
  let headwater: Deployment;
  let capture: RoleProcess;

  before(async () => {
    headwater = await Deployment.create(sharedStack());
    await headwater.query(`
      CREATE TABLE resource (type text NOT NULL, id text NOT NULL, version bigint NOT NULL DEFAULT 1,
        last_updated timestamptz NOT NULL DEFAULT now(), body text, deleted boolean NOT NULL DEFAULT false, PRIMARY KEY (type, id))`);
    await headwater.query(`
      CREATE FUNCTION observation(id text, patient text) RETURNS text LANGUAGE sql AS $$
        SELECT json_build_object('resourceType', 'Observation', 'id', id, 'note', repeat(md5(random()::text), ${PIECES}),
          'subject', json_build_object('reference', 'Patient/' || patient))::text $$`);
    await headwater.query(`
      INSERT INTO resource (type, id, body) SELECT 'Patient', 'p' || n, '{"resourceType":"Patient","id":"p' || n || '"}'
      FROM generate_series(0, ${PATIENTS - 1}) n`);
    await headwater.query(`
      INSERT INTO resource (type, id, body) SELECT 'Observation', 'o' || n || '-' || i, observation('o' || n || '-' || i, 'p' || n)
      FROM generate_series(0, ${PATIENTS - 1}) n, generate_series(0, ${EACH - 1}) i ORDER BY n, i`);
    headwater.start(OTHERS);
    capture = headwater.start(['capture']);
    await capture.logged(/first-load: \d+ resources/);
    await headwater.ready();
  });

  after(() => headwater?.remove());

  it('make a patient’s export exact and skip most resources of others', async () => {
    const { exported, planned } = await exportOf({ patients: ['p7'] });
    await assertIs(exported, 'p7');
    const { planned: whole } = await exportOf({ allPatients: true });
    assert.ok(planned < 0.3 * whole, `${planned} of ${whole} bytes are read`);
  });

  it('report a move as a delete to the old patient, and return it for the new one', async () => {
    const { exported: before } = await exportOf({ patients: ['p7'] });
    await move('o7', 'p30');
    await touch(10, 29);
    await move('o7', 'p30');
    await touch(10, 29);
    const { exported: here, planned } = await exportOf({ patients: ['p7'] });
    await assertIs(here, 'p7');
    const { planned: whole } = await exportOf({ allPatients: true });
    assert.ok(planned < 0.3 * whole, `${planned} of ${whole} bytes are read`);
    await assertIs((await exportOf({ patients: ['p30'] })).exported, 'p30');
    const { exported: since } = await exportOf({ patients: ['p7'], since: before.transactionTime });
    assert.equal(since.deleted.size, EACH / 2);
    assert.deepEqual(applied(before.output, since), here.output);
  });

  it('return each resource for its new patient after a reload of missed moves', async () => {
    await capture.kill();
    const client = new pg.Client({ connectionString: headwater.databaseUrl });
    await client.connect();
    await dropSlot(client, headwater.settings.slot);
    await client.end();
    await move('o8', 'p31');
    await touch(10, 29);
    capture = headwater.start(['capture']);
    await capture.logged(/reload: \d+ resources/);
    await assertIs((await exportOf({ patients: ['p8'] })).exported, 'p8');
    await assertIs((await exportOf({ patients: ['p31'] })).exported, 'p31');
  });

  it('hide no resource that cannot be read from any patient it may belong to', async () => {
    const [row] = await headwater.query<{ now: string }>('SELECT now()::text AS now');
    await headwater.query(
      `INSERT INTO resource (type, id, body) VALUES ('Observation', 'broken', 'no JSON')`,
    );
    await touch(10, 29);
    await touch(10, 29);
    for (const since of [undefined, new Date(row?.now ?? '').toISOString()]) {
      const request = { server: headwater.server, patients: ['p7'], ...(since !== undefined && { since }) };
      const url = await kickOff(request, AbortSignal.timeout(30_000));
      const { error } = await manifestOf(url);
      const lines = await Promise.all(error.map(async (file) => (await fetch(file.url)).text()));
      assert.match(lines.join(''), /Observation\/broken/, `since ${since ?? 'ever'}`);
    }
  });

  /** Half of a patient's observations get another subject. */
  async function move(prefix: string, patient: string): Promise<void> {
    await headwater.query(
      `UPDATE resource SET version = version + 1, body = observation(id, $2)
       WHERE type = 'Observation' AND id LIKE $1 || '-%' AND split_part(id, '-', 2)::int < ${EACH / 2}`,
      [prefix, patient],
    );
  }

  /** Others change so much that what was changed before them lies far from what comes after. */
  async function touch(from: number, to: number): Promise<void> {
    await headwater.query(
      `UPDATE resource SET version = version + 1, body = observation(id, 'p' || n)
       FROM generate_series($1::int, $2::int) n WHERE type = 'Observation' AND id LIKE 'o' || n || '-%'`,
      [from, to],
    );
  }

  async function exportOf(
    wanted: Omit<ExportRequest, 'server'>,
  ): Promise<{ exported: Exported; planned: number }> {
    const url = await kickOff({ server: headwater.server, ...wanted }, AbortSignal.timeout(30_000));
    const exported = await download(url);
    const [row] = await headwater.query<{ bytes: string }>(
      `SELECT sum(planned_bytes) AS bytes FROM ${headwater.tables.task} WHERE job_id = $1`,
      [jobOf(url)],
    );
    return { exported, planned: Number(row?.bytes) };
  }

  /** As the database has it now. */
  async function assertIs({ output }: Exported, patient: string): Promise<void> {
    const rows = await headwater.query<{ key: string; body: string }>(
      `SELECT type || '/' || id AS key, body FROM resource
       WHERE (type, id) = ('Patient', $1) OR body::jsonb -> 'subject' ->> 'reference' = 'Patient/' || $1`,
      [patient],
    );
    assert.ok(rows.length > 1);
    const wanted = new Map(rows.map(({ key, body }) => [key, body]));
    assert.deepEqual([...output.keys()].sort(), [...wanted.keys()].sort());
    for (const [key, body] of wanted) assert.equal(output.get(key), body, key);
  }
});
