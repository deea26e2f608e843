import assert from 'node:assert/strict';
import pg from 'pg';
import { sharedStack } from '../support/stack.ts';
import { Deployment } from './deployment.ts';
import { applied, exportNow } from './exported.ts';
import type { RoleProcess } from './role-process.ts';

const COLUMNS = 'type text, id text, version bigint, last_updated timestamptz, body text, deleted boolean';

describe('a partitioned source table', function () {
  this.timeout(300_000);
  let headwater: Deployment;
  let client: pg.Client;
  let process: RoleProcess;

  before(async () => {
    headwater = await Deployment.create(sharedStack(), { HEADWATER_SOURCE_TABLE: 'public.resource' });
    client = new pg.Client({ connectionString: headwater.databaseUrl });
    await client.connect();
    await client.query(`
      CREATE TABLE resource (${COLUMNS}, PRIMARY KEY (type, id)) PARTITION BY RANGE (id);
      CREATE FUNCTION put(kind text, first int, last int) RETURNS void LANGUAGE sql AS $$
        INSERT INTO resource SELECT kind, n, txid_current(), now(), format('{"resourceType":"%s","id":"%s","meta":{"tag":[{"code":"%s %s"}]}}',
            kind, n, txid_current(), (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 200) i)), false
          FROM generate_series(first, last) n
        ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, last_updated = now(), body = excluded.body $$;
      CREATE TABLE low PARTITION OF resource FOR VALUES FROM ('1') TO ('5') PARTITION BY LIST (type);
      CREATE TABLE low_patients PARTITION OF low FOR VALUES IN ('Patient');
      CREATE TABLE low_others PARTITION OF low DEFAULT;
      CREATE TABLE high PARTITION OF resource FOR VALUES FROM ('5') TO ('8');
      SELECT put('Patient', 10, 79), put('Observation', 10, 79)`);
    process = headwater.start();
    await headwater.ready();
  });

  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.log(process.lines.slice(-15).join('\n'));
  });

  after(async () => {
    await client?.end();
    await headwater?.remove();
  });

  /** What the server's own queries show. */
  async function rows(): Promise<Map<string, string>> {
    const found = await client.query<{ key: string; body: string }>(
      `SELECT type || '/' || id AS key, body FROM resource WHERE NOT deleted`,
    );
    return new Map(found.rows.map(({ key, body }) => [key, body]));
  }

  const changes: readonly [title: string, sql: string, reload: boolean][] = [
    ['rows that are written', `SELECT put('Patient', 10, 12), put('Condition', 1, 7)`, false],
    [
      'a row that moves to another partition',
      `UPDATE resource SET id = '60x', body = replace(body, '"id":"10"', '"id":"60x"') WHERE id = '10'`,
      false,
    ],
    [
      'rows that are deleted, and a body that an update leaves alone',
      `DELETE FROM resource WHERE id = '11'; UPDATE resource SET version = version + 1, last_updated = now()`,
      false,
    ],
    [
      'a partition attached with rows',
      `CREATE TABLE top (LIKE resource INCLUDING ALL); INSERT INTO top SELECT type, '9' || id, version, last_updated, replace(body, '"id":"', '"id":"9'), deleted FROM resource WHERE id = '12'; ALTER TABLE resource ATTACH PARTITION top FOR VALUES FROM ('9') TO ('9z')`,
      true,
    ],
    [
      'a partition that is made, and written and changed at once',
      `CREATE TABLE more PARTITION OF resource FOR VALUES FROM ('8') TO ('9'); SELECT put('Patient', 80, 89); UPDATE resource SET version = 1 WHERE id = '81'; DELETE FROM resource WHERE id = '82'`,
      true,
    ],
    ['a partition that is detached', `ALTER TABLE resource DETACH PARTITION more`, true],
    ['a partition that is emptied', `TRUNCATE high`, true],
    [
      'a partition that comes with rows and goes before anybody looks',
      `CREATE TABLE brief PARTITION OF resource FOR VALUES FROM ('8') TO ('9'); SELECT put('Patient', 80, 85); DROP TABLE brief`,
      true,
    ],
    [
      'a partition that lacks REPLICA IDENTITY FULL for a while',
      `ALTER TABLE low_patients REPLICA IDENTITY DEFAULT; UPDATE resource SET version = version + 1 WHERE id = '20'; ALTER TABLE low_patients REPLICA IDENTITY FULL`,
      true,
    ],
    ['TRUNCATE of the whole', `TRUNCATE resource; SELECT put('Patient', 1, 3)`, true],
  ];
  for (const [title, sql, reload] of changes) {
    it(`with ${title}: the next export is exact, and so is what changed`, async () => {
      const first = await exportNow({ server: headwater.server });
      const before = process.lines.length;
      for (const statement of sql.split(';')) await client.query(statement);
      const wanted = await rows();
      const next = await exportNow({ server: headwater.server, since: first.transactionTime });
      assert.deepEqual(applied(first.output, next), wanted);
      assert.deepEqual((await exportNow({ server: headwater.server })).output, wanted);
      const reloaded = process.lines.slice(before).some((line) => /capture starts: reload/.test(line));
      assert.equal(reloaded, reload);
    });
  }
});
