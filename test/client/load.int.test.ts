import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { inspect } from 'node:util';
import pg from 'pg';
import { HeadwaterError } from '../../src/base/errors.ts';
import { loadDirectory } from '../../src/client/load.ts';
import type { LoadProgress, LoadResult } from '../../src/client/load.ts';
import { uniqueIdentifier } from '../support/names.ts';

interface Row {
  readonly type: string;
  readonly id: string;
  readonly version: string;
  readonly last_updated: Date;
  readonly body: string;
  readonly deleted: boolean;
}

describe('load', () => {
  const sourceUrl = process.env['HEADWATER_TEST_POSTGRES_URL'] ?? '';
  let client: pg.Client;
  let schema: string;
  let directory: string;

  before(async () => {
    client = new pg.Client({ connectionString: sourceUrl });
    await client.connect();
  });
  after(() => client.end());
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'headwater-load-'));
    schema = uniqueIdentifier('load');
    await client.query(`CREATE SCHEMA ${schema}`);
  });
  afterEach(async () => {
    await client.query(`DROP SCHEMA ${schema} CASCADE`);
    await rm(directory, { recursive: true, force: true });
  });

  const progress: LoadProgress[] = [];
  const load = (file?: string): Promise<LoadResult> => {
    progress.length = 0;
    const { signal } = new AbortController();
    return loadDirectory({
      directory: file === undefined ? directory : join(directory, file),
      sourceUrl,
      table: `${schema}.resource`,
      clock: Date.now,
      signal,
      onProgress: (told) => progress.push(told),
    });
  };
  const put = (name: string, ...lines: readonly string[]): Promise<void> => {
    const text = lines.map((line) => `${line}\n`).join('');
    return writeFile(join(directory, name), name.endsWith('.gz') ? gzipSync(text) : text);
  };
  const rows = async (): Promise<Row[]> =>
    (await client.query<Row>(`SELECT * FROM ${schema}.resource ORDER BY type COLLATE "C", id COLLATE "C"`))
      .rows;
  const patient = (id: string, more = ''): string => `{"resourceType":"Patient","id":"${id}"${more}}`;

  it('creates the table with REPLICA IDENTITY FULL and keeps every byte of every line', async () => {
    const bodies = [
      patient('a', ', "x" :\t"ä€😀 \\\\ \\n \\u0000 \\" \\\\N"'),
      patient('b', ',"x":1.500,"x":2'),
      patient('c', `,"x":"${'y'.repeat(6_000_000)}"`),
    ];
    await put('Patient.ndjson', bodies[0] ?? '', '', bodies[1] ?? '');
    await put('more.ndjson.gz', bodies[2] ?? '');
    await put('ignored.txt', 'no JSON');
    const result = await load();
    assert.deepEqual(
      (await rows()).map((row) => row.body),
      bodies,
    );
    assert.deepEqual(
      (await rows()).map((row) => [row.type, row.id, row.version, row.deleted]),
      ['a', 'b', 'c'].map((id) => ['Patient', id, '1', false]),
    );
    const bytes = bodies.reduce((sum, body) => sum + Buffer.byteLength(body), 0);
    assert.deepEqual([result.files, result.rows, result.changed, result.bytes], [2, 3, 3, bytes]);
    assert.deepEqual([progress.at(-1)?.fraction, progress.at(-1)?.rows], [1, 3]);
    const identity = await client.query(
      `SELECT relreplident AS is FROM pg_class WHERE oid = '${schema}.resource'::regclass`,
    );
    assert.deepEqual(identity.rows, [{ is: 'f' }]);
  });

  it('takes version and lastUpdated from meta', async () => {
    await put(
      'a.ndjson',
      patient('a', ',"meta":{"versionId":"7","lastUpdated":"2024-01-01T00:00:00.123+01:00"}'),
    );
    await load();
    const [row] = await rows();
    assert.deepEqual([row?.version, row?.last_updated.toISOString()], ['7', '2023-12-31T23:00:00.123Z']);
  });

  it('repeated, changes nothing', async () => {
    await put('a.ndjson', ...Array.from({ length: 500 }, (_, i) => patient(`p${String(i)}`)));
    assert.equal((await load()).changed, 500);
    const before = await client.query(`SELECT ctid, * FROM ${schema}.resource ORDER BY id`);
    assert.equal((await load()).changed, 0);
    const after = await client.query(`SELECT ctid, * FROM ${schema}.resource ORDER BY id`);
    assert.deepEqual(after.rows, before.rows);
  });

  it('replaces what is different, with a greater version, and brings deleted ones back', async () => {
    await put('a.ndjson', patient('a'), patient('b'), patient('c'));
    await load();
    await client.query(
      `UPDATE ${schema}.resource SET deleted = true, body = NULL, version = 5 WHERE id = 'c'`,
    );
    await put('a.ndjson', patient('a'), patient('b', ',"x":1'), patient('c'), patient('d'));
    assert.equal((await load()).changed, 3);
    assert.deepEqual(
      (await rows()).map((row) => [row.id, row.version, row.body]),
      [
        ['a', '1', patient('a')],
        ['b', '2', patient('b', ',"x":1')],
        ['c', '6', patient('c')],
        ['d', '1', patient('d')],
      ],
    );
  });

  it('keeps the last of several versions in the files', async () => {
    await put('a.ndjson', patient('a', ',"x":1'), patient('a', ',"x":2'));
    await put('b.ndjson', patient('a', ',"x":3'), patient('b'), patient('a', ',"x":4'));
    await load();
    assert.deepEqual(
      (await rows()).map((row) => row.body),
      [patient('a', ',"x":4'), patient('b')],
    );
  });

  it('writes to a table whose body is jsonb', async () => {
    await client.query(`CREATE TABLE ${schema}.resource (type text, id text, version bigint, last_updated timestamptz, body jsonb,
      deleted boolean NOT NULL DEFAULT false, PRIMARY KEY (type, id))`);
    await put('a.ndjson', patient('a', ',"x":"\\\\"'));
    assert.equal((await load()).changed, 1);
    assert.equal((await load()).changed, 0);
    const { rows: found } = await client.query(`SELECT body->>'x' AS x FROM ${schema}.resource`);
    assert.deepEqual(found, [{ x: '\\' }]);
  });

  it('loads much in several transactions, with bounded memory', async function () {
    this.timeout(120_000);
    const filler = 'x'.repeat(5_000);
    await put(
      'large.ndjson',
      ...Array.from({ length: 20_000 }, (_, i) =>
        patient(`p${String(i)}`, `,"n":${String(i)},"x":"${filler}"`),
      ),
    );
    const before = process.memoryUsage().rss;
    let peak = before;
    const timer = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss);
    }, 20);
    const result = await load().finally(() => clearInterval(timer));
    assert.equal(result.rows, 20_000);
    assert.ok(peak - before < 200 << 20, `grew by ${String((peak - before) >> 20)} MiB`);
    const { rows: counted } = await client.query(
      `SELECT count(*)::int AS rows, count(DISTINCT xmin::text)::int > 5 AS several FROM ${schema}.resource`,
    );
    assert.deepEqual(counted, [{ rows: 20_000, several: true }]);
    const fractions = progress.map((told) => told.fraction);
    assert.deepEqual(
      fractions,
      [...fractions].sort((a, b) => a - b),
    );
  });

  it('names file and line of what it cannot read, and keeps nothing of that batch', async () => {
    await put('a.ndjson', patient('a'));
    await put('b.ndjson', patient('b'), '', '{"resourceType":"Patient"');
    await assert.rejects(load(), { code: 'bad-request', message: /^b\.ndjson, line 3: it is not JSON$/ });
    assert.deepEqual(
      (await rows()).map((row) => row.id),
      ['a'],
    );
  });

  it('refuses a path that is neither a folder nor such a file', async () => {
    const file = join(directory, 'a.json');
    await writeFile(file, patient('a'));
    const options = { sourceUrl: 'postgres://127.0.0.1:1/none', table: 'public.none', clock: Date.now };
    await assert.rejects(
      loadDirectory({ ...options, directory: file, signal: new AbortController().signal }),
      {
        code: 'bad-request',
        message: /a\.json is neither a folder nor \*\.ndjson/,
      },
    );
  });

  it('names file and line of what PostgreSQL refuses, and shows nothing of it', async () => {
    await client.query(`CREATE TABLE ${schema}.resource (type text, id text, version bigint, last_updated timestamptz, body jsonb,
      deleted boolean NOT NULL DEFAULT false, PRIMARY KEY (type, id), CHECK (id <> 'forbidden'))`);
    const bad = [
      [patient('x', ',"name":"Secret\\u0000Name"'), /22P05/],
      [patient('forbidden', ',"name":"SecretName"'), /23514/],
    ] as const;
    for (const [line, code] of bad) {
      const good = Array.from({ length: 100 }, (_, i) => patient(`p${String(i)}`));
      await put('b.ndjson', ...good.slice(0, 70), line, ...good.slice(70));
      await assert.rejects(load(), (error: unknown) => {
        assert.ok(error instanceof HeadwaterError);
        assert.equal(error.code, 'bad-request');
        assert.match(error.message, /^b\.ndjson, line 71: PostgreSQL refuses it/);
        assert.match(error.message, code);
        assert.doesNotMatch(inspect(error, { depth: 9 }), /Secret/);
        return true;
      });
    }
  });

  it('takes one file, plain or gzip, and none of those beside it', async () => {
    await put('a.ndjson', patient('a'));
    await put('b.ndjson.gz', patient('b'), patient('c'));
    await put('d.ndjson', patient('d'));
    await put('e.json', patient('e'));
    const ids = async (): Promise<string[]> => (await rows()).map((row) => row.id);
    const { files, rows: read } = await load('a.ndjson');
    assert.deepEqual([files, read, await ids()], [1, 1, ['a']]);
    assert.equal((await load('b.ndjson.gz')).changed, 2);
    assert.deepEqual(await ids(), ['a', 'b', 'c']);
    await assert.rejects(load('e.json'), {
      code: 'bad-request',
      message: /e\.json is neither a folder nor \*\.ndjson or \*\.ndjson\.gz/,
    });
    await assert.rejects(load('none.ndjson'), {
      code: 'bad-request',
      message: /none\.ndjson cannot be read/,
    });
  });

  it('refuses what is not UTF-8, not gzip, or nothing at all', async () => {
    await assert.rejects(load(), { code: 'bad-request', message: /holds no \*\.ndjson/ });
    await writeFile(join(directory, 'a.ndjson'), Buffer.from(patient('a', ',"x":"\xff"'), 'latin1'));
    await assert.rejects(load(), { code: 'bad-request', message: /a\.ndjson is not UTF-8/ });
    await rm(join(directory, 'a.ndjson'));
    await writeFile(join(directory, 'b.ndjson.gz'), 'no gzip');
    await assert.rejects(load(), { code: 'bad-request', message: /b\.ndjson\.gz is not gzip/ });
    await writeFile(join(directory, 'b.ndjson.gz'), gzipSync(patient('b')).subarray(0, 30));
    await assert.rejects(load(), {
      code: 'bad-request',
      message: /b\.ndjson\.gz is not gzip or is cut short/,
    });
  });

  it('says when the database does not answer', async () => {
    const { signal } = new AbortController();
    await put('a.ndjson', patient('a'));
    const options = {
      directory,
      sourceUrl: 'postgres://u:hunter2@127.0.0.1:1/x',
      table: 'public.resource',
      clock: Date.now,
      signal,
    };
    await assert.rejects(loadDirectory(options), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'unavailable');
      assert.ok(!error.message.includes('hunter2'));
      return true;
    });
  });
});
