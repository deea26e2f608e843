import assert from 'node:assert/strict';
import pg from 'pg';
import { presetOf } from '../../src/capture/presets/presets.ts';
import { Source } from '../../src/capture/source.ts';
import { checkSource } from '../../src/capture/source-report.ts';
import { RESOURCE_TYPES } from '../../src/fhir/resource-types.ts';
import { uniqueIdentifier } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

const OWN_TYPES = ['Login', 'User', 'ClientApplication', 'JsonWebKey', 'Project', 'ProjectMembership', 'Bot'];
const ROW = `(id uuid PRIMARY KEY, content text NOT NULL, "lastUpdated" timestamptz NOT NULL,
  deleted boolean NOT NULL DEFAULT false, "projectId" uuid, __version integer NOT NULL)`;
const PATIENCE = 5_000;

describe('a source of preset medplum', function () {
  this.timeout(60_000);
  const name = uniqueIdentifier('medplum');
  let client: pg.Client;

  before(async () => {
    client = new pg.Client({ connectionString: sharedStack().postgresUrl });
    await client.connect();
    await client.query(`CREATE SCHEMA ${name}`);
    for (const type of [...RESOURCE_TYPES, ...OWN_TYPES])
      await client.query(`CREATE TABLE ${name}."${type}" ${ROW};
        CREATE TABLE ${name}."${type}_History" ("versionId" uuid PRIMARY KEY, id uuid, content text, "lastUpdated" timestamptz);
        CREATE TABLE ${name}."${type}_References" ("resourceId" uuid, "targetId" uuid, code text);
        CREATE TABLE ${name}."${type}_Token" ("resourceId" uuid, code text, system text, value text)`);
  });

  after(async () => {
    await client.query(`DROP PUBLICATION IF EXISTS ${name}`);
    // One statement for all of them would need more locks than the server has.
    for (const type of [...RESOURCE_TYPES, ...OWN_TYPES])
      await client.query(
        `DROP TABLE ${name}."${type}", ${name}."${type}_History", ${name}."${type}_References", ${name}."${type}_Token"`,
      );
    await client.query(`DROP SCHEMA ${name}`);
    await client.end();
  });

  it("finds the tables of R4's types among hundreds, and publishes them by one statement", async () => {
    const preset = presetOf({ preset: 'medplum', schema: name });
    const { postgresUrl: url } = sharedStack();
    const source = new Source({ url, slot: name, publication: name, prefix: 'hw', preset });
    const { mends } = await checkSource(source);
    assert.equal(mends.filter((sql) => sql.startsWith('CREATE PUBLICATION')).length, 1);
    assert.equal(mends.filter((sql) => sql.startsWith('ALTER PUBLICATION')).length, 0);

    const started = performance.now();
    const { followed } = await source.prepare();
    const rows = await client.query<{ tablename: string }>(
      'SELECT tablename FROM pg_publication_tables WHERE pubname = $1',
      [name],
    );
    for (const { sql, from } of preset.loads(followed)) await client.query(sql(from));
    const took = performance.now() - started;

    const expected = [...RESOURCE_TYPES].sort();
    assert.deepEqual(rows.rows.map(({ tablename }) => tablename).sort(), expected);
    assert.deepEqual(followed.map(({ table }) => table).sort(), expected);
    assert.ok(took < PATIENCE, `it took ${took} ms`);
    assert.deepEqual((await checkSource(source)).mends, []);
  });

  it('is refused with the projects it holds until one is named, and then shows the rows of that project', async () => {
    const [one, two] = ['11111111-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002'];
    for (const project of [one, two])
      await client.query(
        `INSERT INTO ${name}."Patient" VALUES ($1, '{}', now(), false, $2, 3), ($3, '', now(), true, $2, -1)`,
        [project.replace('0-4000', '1-4000'), project, project.replace('0-4000', '2-4000')],
      );
    const { postgresUrl: url } = sharedStack();
    const source = (tenants: readonly string[]): Source =>
      new Source({
        url,
        slot: name,
        publication: name,
        prefix: 'hw',
        preset: presetOf({ preset: 'medplum', schema: name, tenants }),
      });
    const line = new RegExp(`tenants ${one}, ${two}; name one in HEADWATER_SOURCE_TENANT`);
    await assert.rejects(source([]).prepare(), { code: 'blocked', message: line });
    const { followed } = await source([one]).prepare();
    const patients = source([one])
      .preset.loads(followed)
      .find(({ from }) => from.table === 'Patient');
    assert.ok(patients);
    const { rows } = await client.query<{ id: string }>(patients.sql(patients.from));
    assert.deepEqual(
      rows.map(({ id }) => id),
      [one.replace('0-4000', '1-4000')],
    );
  });
});
