import assert from 'node:assert/strict';
import pg from 'pg';
import { copyRows } from '../../src/capture/copy-rows.ts';
import { dividedQueries, merged } from '../../src/capture/load-ranges.ts';
import { partitionsOf } from '../../src/capture/catalog.ts';
import { Source } from '../../src/capture/source.ts';
import { presetOf } from '../../src/capture/presets/presets.ts';
import { uniqueIdentifier } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

const ROWS = 20_000;

describe('a load over several connections', function () {
  this.timeout(120_000);
  const schema = uniqueIdentifier('parts');
  const clients: pg.Client[] = [];

  before(async () => {
    for (let i = 0; i < 4; i++) {
      const client = new pg.Client({ connectionString: sharedStack().postgresUrl });
      await client.connect();
      clients.push(client);
    }
    await clients[0]?.query(`CREATE SCHEMA ${schema};
      CREATE TABLE ${schema}.resource (type text, id text, version bigint, last_updated timestamptz, body text, deleted boolean);
      ALTER TABLE ${schema}.resource ALTER body SET STORAGE PLAIN;
      INSERT INTO ${schema}.resource SELECT 'Patient', 'p' || n, 1, now(), repeat('x', 3900), n % 10 = 0 FROM generate_series(1, ${ROWS}) n`);
  });

  after(async () => {
    await clients[0]?.query(`DROP SCHEMA ${schema} CASCADE`);
    await Promise.all(clients.map((client) => client.end()));
  });

  const [query] = presetOf({ table: `${schema}.resource` }).loads(
    presetOf({ table: `${schema}.resource` }).tables([]),
  );

  for (const connections of [1, 2, 4]) {
    it(`reads every row once, by ${connections}`, async () => {
      const [client] = clients;
      assert.ok(client && query);
      const parts = await dividedQueries(client, query, connections);
      assert.equal(parts.length, Math.min(connections, 2), 'of 78 MB');
      const ids: string[] = [];
      const sources = parts.map((part, i) => copyRows(clients[i] ?? client, part));
      for await (const rows of merged(sources)) ids.push(...rows.map(({ id }) => id));
      assert.equal(ids.length, ROWS * 0.9);
      assert.equal(new Set(ids).size, ids.length);
    });
  }
});

describe('a load of a partitioned table', function () {
  const schema = uniqueIdentifier('leaves');
  const table = `${schema}.resource`;
  const preset = presetOf({ table });

  it('reads each partition by a query of its own, every row once', async () => {
    const source = new Source({
      url: sharedStack().postgresUrl,
      slot: schema,
      publication: schema,
      prefix: 'hw',
      preset,
    });
    const client = await source.readingSession();
    try {
      await client.query(`CREATE SCHEMA ${schema};
        CREATE TABLE ${table} (type text, id text, version bigint, last_updated timestamptz, body text, deleted boolean) PARTITION BY HASH (id);
        CREATE TABLE ${schema}.one PARTITION OF ${table} FOR VALUES WITH (MODULUS 2, REMAINDER 0) PARTITION BY LIST (type);
        CREATE TABLE ${schema}.part PARTITION OF ${schema}.one DEFAULT;
        CREATE TABLE ${schema}.two PARTITION OF ${table} FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO ${table} SELECT 'Patient', 'p' || n, 1, now(), '{}', n % 10 = 0 FROM generate_series(1, 1000) n`);
      const catalog = await source.catalogOver(client);
      const ids: string[] = [];
      for (const query of preset.loads(catalog.followed)) {
        const parts = await dividedQueries(client, query, 4, partitionsOf(catalog, query.from));
        assert.equal(parts.length, 2);
        for (const part of parts)
          for await (const rows of copyRows(client, part)) ids.push(...rows.map(({ id }) => id));
      }
      assert.equal(ids.length, 900);
      assert.equal(new Set(ids).size, 900);
    } finally {
      await client.query(`DROP SCHEMA ${schema} CASCADE`);
      await client.end();
    }
  });
});

describe('merged sources', () => {
  async function* source(name: string, count: number): AsyncIterable<string> {
    for (let i = 0; i < count; i++) {
      await Promise.resolve();
      yield `${name}${i}`;
    }
  }

  it('give every item, each source in its order', async () => {
    const found = await Array.fromAsync(merged([source('a', 3), source('b', 0), source('c', 5)]));
    assert.deepEqual([...found].sort(), ['a0', 'a1', 'a2', 'c0', 'c1', 'c2', 'c3', 'c4']);
    assert.deepEqual(
      found.filter((item) => item.startsWith('c')),
      ['c0', 'c1', 'c2', 'c3', 'c4'],
    );
  });

  it('fail with the error of one, and end the others', async () => {
    let ended = false;
    async function* endless(): AsyncIterable<string> {
      try {
        for (;;) yield await Promise.resolve('x');
      } finally {
        ended = true;
      }
    }
    async function* failing(): AsyncIterable<string> {
      await Promise.resolve();
      yield 'y';
      throw new Error('broken');
    }
    await assert.rejects(Array.fromAsync(merged([endless(), failing()])), /broken/);
    assert.ok(ended);
  });
});
