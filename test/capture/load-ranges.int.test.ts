import assert from 'node:assert/strict';
import pg from 'pg';
import { copyRows } from '../../src/capture/copy-rows.ts';
import { dividedQueries, merged } from '../../src/capture/load-ranges.ts';
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
