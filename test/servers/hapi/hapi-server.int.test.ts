import assert from 'node:assert/strict';
import { sharedStack } from '../../support/stack.ts';
import { createDatabase } from './hapi-database.ts';
import type { HapiDatabase } from './hapi-database.ts';
import { HapiServer } from './hapi-server.ts';

/** HAPI's rows for a Patient with the ID `abc`. */
const RESOURCES = `SELECT res_type, res_ver::int, res_deleted_at IS NULL AS live, has_tags FROM hfj_resource WHERE fhir_id = 'abc'`;
const VERSIONS = `SELECT v.res_ver::int, res_encoding, res_text_vc FROM hfj_res_ver v JOIN hfj_resource USING (res_id) WHERE fhir_id = 'abc' ORDER BY 1`;
const TAGS = `SELECT v.res_ver::int, tag_code FROM hfj_history_tag h JOIN hfj_res_ver v ON v.pid = h.res_ver_pid JOIN hfj_tag_def USING (tag_id) ORDER BY 1, 2`;

describe('a HAPI FHIR JPA server', function () {
  this.timeout(900_000); // the first start downloads
  const patient = { resourceType: 'Patient', id: 'abc' };
  const tag = { system: 'http://tags', code: 'blue' };
  let database: HapiDatabase;
  let server: HapiServer;

  before(async () => {
    database = await createDatabase(sharedStack().postgresUrl);
    server = await HapiServer.start({ databaseUrl: database.url });
  });

  after(async () => {
    await server.stop();
    await database.remove();
  });

  const rows = async (sql: string): Promise<unknown[]> =>
    (await database.client.query<Record<string, unknown>>(sql)).rows.map((row) => Object.values(row));

  it('stores a created resource without its ID and meta', async () => {
    const { status } = await server.request('PUT', 'Patient/abc', {
      ...patient,
      meta: { tag: [tag] },
      active: true,
    });
    assert.equal(status, 201);
    assert.deepEqual(await rows(RESOURCES), [['Patient', 1, true, true]]);
    assert.deepEqual(await rows(VERSIONS), [[1, 'JSON', '{"resourceType":"Patient","active":true}']]);
    assert.deepEqual(await rows(TAGS), [[1, 'blue']]);
  });

  it('adds a version, with all tags, for an update', async () => {
    const { status } = await server.request('PUT', 'Patient/abc', { ...patient, active: false });
    assert.equal(status, 200);
    assert.deepEqual(await rows(RESOURCES), [['Patient', 2, true, true]]);
    assert.deepEqual((await rows(VERSIONS)).slice(1), [
      [2, 'JSON', '{"resourceType":"Patient","active":false}'],
    ]);
    assert.deepEqual(await rows(TAGS), [
      [1, 'blue'],
      [2, 'blue'],
    ]);
  });

  it('adds a version without a body for a delete', async () => {
    const { status } = await server.request('DELETE', 'Patient/abc');
    assert.equal(status, 200);
    assert.deepEqual(await rows(RESOURCES), [['Patient', 3, false, true]]);
    assert.deepEqual((await rows(VERSIONS)).slice(2), [[3, 'DEL', null]]);
    assert.equal((await rows(TAGS)).length, 2);
  });
});
