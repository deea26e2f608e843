import assert from 'node:assert/strict';
import pg from 'pg';
import { presetOf } from '../../src/capture/presets/presets.ts';
import { Source } from '../../src/capture/source.ts';
import { checkSource, preparationFor } from '../../src/capture/source-report.ts';
import { Deployment } from '../faults/deployment.ts';
import { AidboxWriter } from '../servers/aidbox/aidbox-writer.ts';
import { uniqueIdentifier } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

describe('a source of preset aidbox', function () {
  this.timeout(60_000);
  const role = uniqueIdentifier('reader');
  let deployment: Deployment;
  let client: pg.Client;

  const source = (user?: string, excludeTypes: readonly string[] = []): Source => {
    const url = new URL(deployment.databaseUrl);
    if (user !== undefined) [url.username, url.password] = [user, 'p'];
    const { slot, publication, topicPrefix: prefix } = deployment.settings;
    const preset = presetOf({ preset: 'aidbox', excludeTypes });
    return new Source({ url: url.href, slot, publication, prefix, preset });
  };

  before(async () => {
    deployment = await Deployment.create(sharedStack());
    client = new pg.Client({ connectionString: deployment.databaseUrl });
    await client.connect();
    await new AidboxWriter('aidbox').install(client);
  });

  after(async () => {
    await client.query(`DROP OWNED BY ${role} CASCADE`);
    await client.query(`DROP ROLE ${role}`);
    await client.end();
    await deployment.remove();
  });

  it('is followed by a role that may read its resources and attributes, and no other table', async () => {
    for (const sql of await preparationFor(source(), role))
      await client.query(sql.replace('<password>', 'p'));
    const { tables, problems } = await checkSource(source(role));
    assert.deepEqual(problems, []);
    assert.deepEqual(tables, ['public.observation', 'public.patient']);
    const { rows } = await client.query<{ relname: string }>(
      `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
         AND has_table_privilege($1, oid, 'SELECT') ORDER BY 1`,
      [role],
    );
    assert.deepEqual(
      rows.map(({ relname }) => relname),
      ['attribute', 'observation', 'patient'],
    );
  });

  it('is refused when a table of another name holds a type that is followed', async () => {
    const columns = `(id, txid, ts, cts, resource_type, status, resource)`;
    await client.query(`CREATE TABLE big_patients (LIKE patient INCLUDING ALL)`);
    assert.deepEqual((await checkSource(source())).problems, [], 'it is empty');
    await client.query(
      `INSERT INTO big_patients ${columns} VALUES ('p', 1, now(), now(), 'Patient', 'created', '{}')`,
    );
    const line = /table "public"\."big_patients" holds Patient, which is followed in table patient only/;
    assert.match((await checkSource(source())).problems.join('\n'), line);
    await assert.rejects(source().prepare(), { code: 'blocked', message: line });
    assert.deepEqual((await checkSource(source(undefined, ['Patient']))).problems, []);
    assert.deepEqual(
      (await checkSource(source(role))).problems,
      [],
      'a role that may not read it sees nothing',
    );
    await client.query('DROP TABLE big_patients');
  });

  it('is refused by name when an attribute keeps an extension as an element of its own', async () => {
    await client.query(
      `INSERT INTO attribute (id, txid, ts, cts, resource_type, status, resource) VALUES
         ('Patient.race', 1, now(), now(), 'Attribute', 'created', '{"path": ["race"], "extensionUrl": "http://x/race"}')`,
    );
    const line =
      /extension as an element of its own \(public\.attribute Patient\.race\).*remove its extensionUrl/;
    assert.match((await checkSource(source(role))).problems.join('\n'), line);
    await assert.rejects(source().prepare(), { code: 'blocked', message: line });
  });
});
