import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { HapiLookups } from '../../../../src/capture/presets/hapi/lookups.ts';
import type { Lookup } from '../../../../src/capture/presets/preset.ts';
import { presetOf } from '../../../../src/capture/presets/presets.ts';
import { render } from '../../../../src/capture/presets/render.ts';
import { lookupOver } from '../../../../src/capture/source-lookup.ts';
import { createDatabase } from '../../../servers/hapi/hapi-database.ts';
import type { HapiDatabase } from '../../../servers/hapi/hapi-database.ts';
import { HapiServer } from '../../../servers/hapi/hapi-server.ts';
import { WalRecorder } from '../../../servers/hapi/wal-recorder.ts';
import { sharedStack } from '../../../support/stack.ts';
import { replay } from './replay.ts';

/** More rows than a plan would read one after the other. */
const COPIES = 3000;
const COPY = `jsonb_build_object('res_id', 1000000 + i, 'fhir_id', 'copy' || i, 'pid', 1000000 + i, 'res_ver_pid', 1000000 + i)`;
const TABLES = ['hfj_resource', 'hfj_res_ver', 'hfj_res_tag', 'hfj_history_tag'];

/** What makes the tables unfit as a source, and the message. */
const UNFIT: readonly [what: string, sql: string, message: RegExp][] = [
  ['a resource of another FHIR version', "UPDATE hfj_resource SET res_version = 'R5'", /FHIR R5/],
  ['a resource without fhir_id', 'UPDATE hfj_resource SET fhir_id = NULL', /HAPI 7\.0 or newer/],
  ['tags without versions', 'DELETE FROM hfj_history_tag', /without versions/],
  [
    'several partitions',
    "UPDATE hfj_resource SET partition_id = 1 WHERE fhir_id = 'one'",
    /partitions 1, DEFAULT/,
  ],
];

describe('preset hapi on the tables of a HAPI server', function () {
  this.timeout(900_000);
  const preset = presetOf({ preset: 'hapi' });
  let database: HapiDatabase;
  let server: HapiServer;

  before(async () => {
    database = await createDatabase(sharedStack().postgresUrl);
    server = await HapiServer.start({ databaseUrl: database.url });
    for (const [id, text] of [
      ['one', 'grün'],
      ['two', 'x'.repeat(20_000)],
    ])
      await server.request('PUT', `Patient/${id}`, {
        resourceType: 'Patient',
        id,
        meta: { tag: [{ system: 'http://tags', code: 'a' }] },
        name: [{ text }],
      });
  });

  after(async () => {
    await server.stop();
    await database.remove();
  });

  /** What the load reads, by key. */
  async function loaded(of = preset): Promise<Map<string, unknown>> {
    const [load] = of.loads(of.tables([]));
    assert.ok(load);
    const rows = await lookupOver(database.client)(load.sql(load.from), []);
    return new Map(
      rows.map(([type, id, version, updated, body, ...extra]) => {
        const row = load.read({
          type: type ?? '',
          id: id ?? '',
          version: version ?? null,
          updated: updated ?? null,
          body: typeof body === 'string' ? Buffer.from(body) : null,
          extra: Object.fromEntries(load.extra.map((name, i) => [name, extra[i] ?? null])),
        });
        const rendered = row.body ? render(row, row.body, preset.rendering).toString() : 'null';
        return [`${row.type}/${row.id}`, JSON.parse(rendered) as unknown];
      }),
    );
  }

  async function answers(): Promise<Map<string, unknown>> {
    const keys = ['Patient/one', 'Patient/two'];
    const found = await Promise.all(keys.map((key) => server.request('GET', key)));
    return new Map(found.map(({ body }, i) => [keys[i] ?? '', JSON.parse(body) as unknown]));
  }

  /** The problems that the preset finds. */
  async function problems(): Promise<string[]> {
    const found: string[] = [];
    for (const { sql, problem } of preset.preflights(preset.tables([]), []))
      found.push(
        ...[problem(await lookupOver(database.client)(sql, []))].filter((line) => line !== undefined),
      );
    return found;
  }

  it('finds no problem', async () => {
    assert.deepEqual(await problems(), []);
  });

  for (const [what, sql, message] of UNFIT)
    it(`refuses ${what}`, async () => {
      await database.client.query('BEGIN');
      await database.client.query(sql);
      const [problem, ...more] = await problems();
      await database.client.query('ROLLBACK');
      assert.match(problem ?? '', message);
      assert.deepEqual(more, []);
    });

  it('loads one partition when it is named', async () => {
    await database.client.query('BEGIN');
    await database.client.query("UPDATE hfj_resource SET partition_id = 1 WHERE fhir_id = 'one'");
    const named = (tenant: string): Promise<Map<string, unknown>> =>
      loaded(presetOf({ preset: 'hapi', tenants: [tenant] }));
    const keys = [[...(await named('1')).keys()], [...(await named('DEFAULT')).keys()]];
    await database.client.query('ROLLBACK');
    assert.deepEqual(keys, [['Patient/one'], ['Patient/two']]);
  });

  it('loads what the server answers', async () => {
    assert.deepEqual(await loaded(), await answers());
  });

  it('loads bodies that an old version of HAPI stored as compressed large objects', async () => {
    const { rows } = await database.client.query<{ pid: string; res_text_vc: string }>(
      'SELECT pid, res_text_vc FROM hfj_res_ver',
    );
    for (const { pid, res_text_vc } of rows)
      await database.client.query(
        "UPDATE hfj_res_ver SET res_text = lo_from_bytea(0, $2), res_text_vc = NULL, res_encoding = 'JSONC' WHERE pid = $1",
        [pid, gzipSync(res_text_vc)],
      );
    const expected = await answers();
    assert.equal(expected.size, 2);
    assert.deepEqual(await loaded(), expected);
  });

  it('makes no change of a body that moves from a large object to a text', async () => {
    const recorder = await WalRecorder.start(database.client);
    for (const [key, resource] of await loaded()) {
      const { id, meta, ...rest } = resource as Record<string, unknown>;
      await database.client.query(
        "UPDATE hfj_res_ver SET res_text = NULL, res_text_vc = $2, res_encoding = 'JSON' FROM hfj_resource r WHERE r.res_id = hfj_res_ver.res_id AND r.fhir_id = $1",
        [key.slice('Patient/'.length), JSON.stringify(rest)],
      );
      assert.ok(id !== undefined && meta !== undefined);
    }
    const transactions = await recorder.take();
    assert.equal(transactions.length, 2);
    const recording = { name: 'moved', request: '', status: 200, transactions, answers: {} };
    const [replayed] = await replay([recording], { hasTags: true });
    assert.deepEqual(replayed?.changes, []);
    assert.deepEqual(await loaded(), await answers());
  });

  it('looks rows up by indexes only', async () => {
    for (const table of TABLES)
      await database.client.query(
        `INSERT INTO ${table} SELECT (jsonb_populate_record(one.r, ${COPY})).* FROM
          (SELECT r FROM ${table} AS r LIMIT 1) AS one, generate_series(1, ${COPIES}) AS i`,
      );
    await database.client.query('ANALYZE');
    const plans: string[] = [];
    const explain: Lookup = async (sql, values) => {
      const { rows } = await database.client.query(`EXPLAIN ${sql}`, [...values]);
      plans.push(rows.map((row: Record<string, string>) => row['QUERY PLAN']).join('\n'));
      return [];
    };
    const lookups = new HapiLookups('public');
    const ids = ['1000001', '1000002'];
    await lookups.versions(
      explain,
      ids.map((resId) => ({ resId, version: '1' })),
    );
    await lookups.resources(explain, ids);
    await lookups.tags(explain, ids);
    await lookups.resourceTags(explain, ids);
    assert.equal(plans.length, 4);
    for (const plan of plans) {
      assert.doesNotMatch(plan, /Seq Scan/);
      assert.match(plan, /Index/);
    }
  });

  it('asks one query for 500 keys', async () => {
    let queries = 0;
    const count: Lookup = () => {
      queries++;
      return Promise.resolve([]);
    };
    const ids = Array.from({ length: 1001 }, (_, i) => String(i));
    await new HapiLookups('public').resources(count, ids);
    assert.equal(queries, 3);
  });
});
