import assert from 'node:assert/strict';
import pg from 'pg';
import type { Catalog } from '../../src/capture/catalog.ts';
import { coverageGap } from '../../src/capture/coverage.ts';
import { presetOf } from '../../src/capture/presets/presets.ts';
import { Source } from '../../src/capture/source.ts';
import { uniqueIdentifier } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

const COLUMNS = `type text, id text, version bigint, last_updated timestamptz, body text, deleted boolean`;
const KEY = 'PRIMARY KEY (type, id)';

describe('a source', function () {
  this.timeout(60_000);
  const name = uniqueIdentifier('source');
  const table = `${name}.resource`;
  const child = `${name}.child`;
  let client: pg.Client;

  before(async () => {
    client = new pg.Client({ connectionString: sharedStack().postgresUrl });
    await client.connect();
  });

  beforeEach(() => client.query(`CREATE SCHEMA ${name}`));

  afterEach(async () => {
    await client.query(
      `DROP PUBLICATION IF EXISTS ${name}, ${name}_other; DROP SCHEMA ${name} CASCADE; DROP ROLE IF EXISTS ${name}_role`,
    );
  });

  after(() => client.end());

  const partitioned = `CREATE TABLE ${table} (${COLUMNS}, ${KEY}) PARTITION BY LIST (type);
    CREATE TABLE ${child} PARTITION OF ${table} DEFAULT;
    CREATE TABLE ${name}.patient PARTITION OF ${table} FOR VALUES IN ('Patient') PARTITION BY HASH (id);
    CREATE TABLE ${name}.patient_1 PARTITION OF ${name}.patient FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    INSERT INTO ${table} SELECT 'Patient', n, 1, now(), '{}', false FROM generate_series(1, 10) n`;

  const source = (prefix = 'hw', of = table): Source =>
    new Source({
      url: sharedStack().postgresUrl,
      slot: name,
      publication: name,
      prefix,
      preset: presetOf({ table: of }),
    });
  const prepare = (prefix?: string, of?: string): Promise<Catalog> => source(prefix, of).prepare();

  it('is published with whole old rows, however often it is prepared', async () => {
    await client.query(`CREATE TABLE ${table} (${COLUMNS}, ${KEY})`);
    await prepare();
    await prepare();
    const { rows } = await client.query(
      `SELECT relreplident, pubname FROM pg_class JOIN pg_publication_tables ON tablename = relname WHERE relname = 'resource' AND relnamespace = $1::regnamespace`,
      [name],
    );
    assert.deepEqual(rows, [{ relreplident: 'f', pubname: name }]);
  });

  it('that is partitioned is published under its own name, with whole old rows of every partition', async () => {
    await client.query(partitioned);
    await prepare();
    await client.query(`CREATE TABLE ${name}.later PARTITION OF ${table} FOR VALUES IN ('Condition')`);
    await prepare();
    const { rows } = await client.query<{ relname: string }>(
      `SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') AND relreplident = 'f' ORDER BY 1`,
      [name],
    );
    assert.deepEqual(
      rows.map(({ relname }) => relname),
      ['child', 'later', 'patient_1', 'resource'],
    );
    const published = await client.query('SELECT tablename FROM pg_publication_tables WHERE pubname = $1', [
      name,
    ]);
    assert.deepEqual(published.rows, [{ tablename: 'resource' }]);
  });

  it('that another session has locked is given up after two seconds, by name, and its writers go on', async () => {
    await client.query(`CREATE TABLE ${table} (${COLUMNS}, ${KEY})`);
    const holder = new pg.Client({
      connectionString: sharedStack().postgresUrl,
      application_name: 'a long report',
    });
    await holder.connect();
    try {
      await holder.query(`BEGIN; SELECT FROM ${table}`);
      const begun = Date.now();
      const refused = assert.rejects(prepare(), {
        code: 'unavailable',
        message: /REPLICA IDENTITY FULL waits for a lock that is held by process \d+ of .*a long report/,
      });
      await client.query(`INSERT INTO ${table} VALUES ('Patient', 'a', 1, now(), '{}', false)`);
      await refused;
      assert.ok(Date.now() - begun < 8_000);
    } finally {
      await holder.end();
    }
    await prepare();
  });

  it('that is not there is waited for', async () => {
    await assert.rejects(prepare(), { code: 'unavailable', message: new RegExp(`no table ${table}`) });
  });

  const refused: readonly [title: string, sql: string, line: RegExp][] = [
    [
      'partitioned, and unique within each partition only',
      `CREATE TABLE ${table} (${COLUMNS}) PARTITION BY LIST (type); CREATE TABLE ${child} PARTITION OF ${table} (${KEY}) DEFAULT`,
      /no unique key on \(type, id\)/,
    ],
    [
      'partitioned, with a partition that is UNLOGGED',
      `CREATE TABLE ${table} (${COLUMNS}, ${KEY}) PARTITION BY LIST (type); CREATE UNLOGGED TABLE ${child} PARTITION OF ${table} DEFAULT`,
      /child is UNLOGGED.*SET LOGGED/,
    ],
    [
      'partitioned, in a publication that others made which names the partitions',
      `CREATE TABLE ${table} (${COLUMNS}, ${KEY}) PARTITION BY LIST (type); ALTER TABLE ${table} REPLICA IDENTITY FULL; CREATE PUBLICATION ${name} FOR TABLE ${table}`,
      /own names; run ALTER PUBLICATION .* SET \(publish_via_partition_root = true\)/,
    ],
    [
      'a partition',
      `CREATE TABLE ${child} (${COLUMNS}) PARTITION BY LIST (type); CREATE TABLE ${table} PARTITION OF ${child} (${KEY}) DEFAULT`,
      /is a part of a partitioned table/,
    ],
    [
      'a view',
      `CREATE TABLE ${child} (${COLUMNS}, ${KEY}); CREATE VIEW ${table} AS SELECT * FROM ${child}`,
      /is a view/,
    ],
    [
      'inherited from',
      `CREATE TABLE ${table} (${COLUMNS}, ${KEY}); CREATE TABLE ${child} () INHERITS (${table})`,
      /1 tables that inherit.*NO INHERIT/,
    ],
    ['UNLOGGED', `CREATE UNLOGGED TABLE ${table} (${COLUMNS}, ${KEY})`, /UNLOGGED.*SET LOGGED/],
    ['without a key', `CREATE TABLE ${table} (${COLUMNS})`, /no unique key on \(type, id\).*ADD UNIQUE/],
    [
      'unique only among some rows',
      `CREATE TABLE ${table} (${COLUMNS}); CREATE UNIQUE INDEX ON ${table} (type, id) WHERE NOT deleted`,
      /no unique key/,
    ],
    [
      'unique only at the end of a transaction',
      `CREATE TABLE ${table} (${COLUMNS}, UNIQUE (type, id) DEFERRABLE)`,
      /no unique key/,
    ],
    [
      'unique by more than type and id',
      `CREATE TABLE ${table} (${COLUMNS}, UNIQUE (type, id, version))`,
      /no unique key/,
    ],
    [
      'without a mapped column',
      `CREATE TABLE ${table} (${COLUMNS.replace('version bigint, ', '')}, ${KEY})`,
      /has no column version/,
    ],
    [
      'with an id that is padded with blanks',
      `CREATE TABLE ${table} (${COLUMNS.replace('id text', 'id char(64)')}, ${KEY})`,
      /column id .* is of type character/,
    ],
    [
      'with times without a zone',
      `CREATE TABLE ${table} (${COLUMNS.replace('timestamptz', 'timestamp')}, ${KEY})`,
      /column last_updated .* timestamp without time zone/,
    ],
    [
      'with a bytea body',
      `CREATE TABLE ${table} (${COLUMNS.replace('body text', 'body bytea')}, ${KEY})`,
      /column body .* bytea/,
    ],
    [
      'with a time of deletion in place of a boolean',
      `CREATE TABLE ${table} (${COLUMNS.replace('deleted boolean', 'deleted timestamptz')}, ${KEY})`,
      /column deleted/,
    ],
    [
      'published by columns elsewhere, which FULL would break',
      `CREATE TABLE ${table} (${COLUMNS}, ${KEY}); CREATE PUBLICATION ${name}_other FOR TABLE ${table} (type, id)`,
      /publication .*_other .* lists columns/,
    ],
    [
      'published for inserts only, by a publication that others made',
      `CREATE TABLE ${table} (${COLUMNS}, ${KEY}); CREATE PUBLICATION ${name} FOR TABLE ${table} WITH (publish = 'insert')`,
      /does not publish every.*ALTER PUBLICATION/,
    ],
    [
      'published in part, by a publication that others made',
      `CREATE TABLE ${table} (${COLUMNS}, ${KEY}); ALTER TABLE ${table} REPLICA IDENTITY FULL; CREATE PUBLICATION ${name} FOR TABLE ${table} WHERE (type = 'Patient')`,
      /only some rows.*DROP TABLE/,
    ],
    [
      'not in a publication that others made',
      `CREATE TABLE ${table} (${COLUMNS}, ${KEY}); CREATE TABLE ${child} (n int); CREATE PUBLICATION ${name} FOR TABLE ${child}`,
      /lacks .*; run ALTER PUBLICATION .* ADD TABLE/,
    ],
    [
      'published by another installation',
      `CREATE TABLE ${table} (${COLUMNS}, ${KEY}); CREATE PUBLICATION ${name} FOR TABLE ${table};
       COMMENT ON PUBLICATION ${name} IS 'Made by Headwater, HEADWATER_TOPIC_PREFIX=other'`,
      /belongs to the Headwater of HEADWATER_TOPIC_PREFIX=other.*HEADWATER_PUBLICATION/,
    ],
  ];
  for (const [title, sql, line] of refused) {
    it(`that is ${title} is refused with one line, and nothing is changed`, async () => {
      await client.query(sql);
      const state = `SELECT relreplident, (SELECT array_agg(p) FROM pg_publication p WHERE pubname LIKE $1 || '%')
        FROM pg_class WHERE oid = ($1 || '.resource')::regclass`;
      const before = await client.query(state, [name]);
      await assert.rejects(prepare(), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'blocked');
        assert.match(error.message, line);
        return !error.message.includes('\n');
      });
      assert.deepEqual((await client.query(state, [name])).rows, before.rows);
    });
  }

  it('that hides rows by row-level security is refused', async () => {
    await client.query(`CREATE TABLE ${table} (${COLUMNS}, ${KEY}); ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
      CREATE ROLE ${name}_role LOGIN REPLICATION PASSWORD 'p'; GRANT USAGE ON SCHEMA ${name} TO ${name}_role; GRANT SELECT ON ${table} TO ${name}_role`);
    const url = new URL(sharedStack().postgresUrl);
    url.username = `${name}_role`;
    url.password = 'p';
    const preset = presetOf({ table });
    const restricted = new Source({ url: url.href, slot: name, publication: name, prefix: 'hw', preset });
    await assert.rejects(restricted.prepare(), { code: 'blocked', message: /row-level security.*BYPASSRLS/ });
    await client.query(`ALTER ROLE ${name}_role BYPASSRLS`);
    await assert.rejects(restricted.prepare(), {
      code: 'blocked',
      message: /REPLICA IDENTITY FULL; run ALTER/,
    });
    await client.query(`DROP OWNED BY ${name}_role`);
  });

  it('with generated columns is followed, and its own updates go on', async function () {
    await client.query(
      `CREATE TABLE ${table} (${COLUMNS.replace('type text, id text', '')} body2 text,
      type text GENERATED ALWAYS AS (body::jsonb ->> 'resourceType') STORED,
      id text GENERATED ALWAYS AS (body::jsonb ->> 'id') STORED, ${KEY})`
        .replace('(, ', '(')
        .replace('boolean body2', 'boolean, body2'),
    );
    await prepare();
    await client.query(`INSERT INTO ${table} (body) VALUES ('{"resourceType":"Patient","id":"a"}')`);
    await client.query(`UPDATE ${table} SET version = 2`);
    const { rows } = await client.query('SELECT pubgencols FROM pg_publication WHERE pubname = $1', [name]);
    assert.deepEqual(rows, [{ pubgencols: 's' }]);
  });

  it('with a virtual generated column is refused before its updates would fail', async () => {
    await client.query(
      `CREATE TABLE ${table} (${COLUMNS}, v text GENERATED ALWAYS AS (type) VIRTUAL, ${KEY})`,
    );
    await assert.rejects(prepare(), { code: 'blocked', message: /virtual generated column v/ });
  });

  it('is added to the publication that Headwater made, and tables of others stay in it', async () => {
    await client.query(`CREATE TABLE ${table} (${COLUMNS}, ${KEY}); CREATE TABLE ${child} (n int)`);
    await prepare();
    await client.query(`ALTER PUBLICATION ${name} SET TABLE ${child}`);
    await prepare();
    const { rows } = await client.query<{ tablename: string }>(
      'SELECT tablename FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1',
      [name],
    );
    assert.deepEqual(
      rows.map(({ tablename }) => tablename),
      ['child', 'resource'],
    );
  });

  it('gets back what was taken from the publication that Headwater made', async () => {
    await client.query(`CREATE TABLE ${table} (${COLUMNS}, ${KEY})`);
    await prepare();
    await client.query(`ALTER PUBLICATION ${name} SET (publish = 'insert')`);
    await client.query(`ALTER PUBLICATION ${name} SET TABLE ${table} WHERE (type = 'Patient')`);
    const { publication, tables } = await prepare();
    assert.equal(publication?.update, true);
    assert.equal(tables[0]?.membership?.filtered, false);
    await assert.rejects(prepare('another'), { code: 'blocked', message: /HEADWATER_TOPIC_PREFIX=hw/ });
  });

  describe('whose coverage was proved', () => {
    const hides: readonly [title: string, sql: string, subject: RegExp][] = [
      ['the table made again', `DROP TABLE ${table}; CREATE TABLE ${table} (${COLUMNS}, ${KEY})`, /^table/],
      [
        'another table under its name',
        `ALTER TABLE ${table} RENAME TO child; CREATE TABLE ${table} (${COLUMNS}, ${KEY})`,
        /^table/,
      ],
      [
        'a publication made again',
        `DROP PUBLICATION ${name}; CREATE PUBLICATION ${name} FOR TABLE ${table}`,
        /^publication/,
      ],
      [
        'a table out of the publication and back',
        `ALTER PUBLICATION ${name} DROP TABLE ${table}; ALTER PUBLICATION ${name} ADD TABLE ${table}`,
        /in publication/,
      ],
      [
        'other operations published for a while',
        `ALTER PUBLICATION ${name} SET (publish = 'insert'); ALTER PUBLICATION ${name} SET (publish = 'insert, update, delete, truncate')`,
        /^publication/,
      ],
      [
        'a row filter for a while',
        `ALTER PUBLICATION ${name} SET TABLE ${table} WHERE (type = 'Patient'); ALTER PUBLICATION ${name} SET TABLE ${table}`,
        /in publication/,
      ],
      [
        'a column made again',
        `ALTER TABLE ${table} DROP deleted, ADD deleted boolean DEFAULT true`,
        /column deleted/,
      ],
      [
        'bodies of another type for a while',
        `ALTER TABLE ${table} ALTER body TYPE jsonb USING body::jsonb; ALTER TABLE ${table} ALTER body TYPE text`,
        /column body/,
      ],
    ];
    for (const [title, sql, subject] of hides) {
      it(`shows ${title}`, async () => {
        assert.match((await gapAfter(sql)) ?? '', subject);
      });
    }

    const harmless: readonly [title: string, sql: string][] = [
      [
        'a column that is not ours',
        `ALTER TABLE ${table} ADD note text DEFAULT 'n'; ALTER TABLE ${table} DROP note`,
      ],
      ['VACUUM FULL', `VACUUM FULL ${table}`],
      ['TRUNCATE', `TRUNCATE ${table}`],
      [
        'storage and statistics',
        `ALTER TABLE ${table} ALTER body SET STORAGE EXTERNAL, ALTER body SET STATISTICS 10`,
      ],
      ['an index', `CREATE INDEX ON ${table} (version)`],
      [
        'a table of others in the publication',
        `CREATE TABLE ${child} (n int); ALTER PUBLICATION ${name} ADD TABLE ${child}`,
      ],
      ['a grant', `GRANT SELECT ON ${table} TO PUBLIC`],
    ];
    for (const [title, sql] of harmless) {
      it(`is not shaken by ${title}`, async () => {
        assert.equal(await gapAfter(sql), undefined);
      });
    }

    const partitions: readonly [title: string, sql: string, subject: RegExp | undefined][] = [
      [
        'a partition that is made',
        `CREATE TABLE ${name}.b PARTITION OF ${table} FOR VALUES IN ('B')`,
        /\.b of/,
      ],
      ['a partition that is emptied', `TRUNCATE ${name}.patient_1`, /patient_1 of/],
      ['a partition that goes', `DROP TABLE ${name}.patient_1`, /patient_1 of/],
      [
        'partitions that are away for a while',
        `ALTER TABLE ${table} DETACH PARTITION ${name}.patient; ALTER TABLE ${table} ATTACH PARTITION ${name}.patient FOR VALUES IN ('Patient')`,
        /patient_1 of/,
      ],
      ['an index on a partition', `CREATE INDEX ON ${name}.patient_1 (version); ANALYZE ${table}`, undefined],
    ];
    for (const [title, sql, subject] of partitions) {
      it(`${subject ? 'shows' : 'is not shaken by'} ${title}`, async () => {
        const gap = await gapAfter(sql, partitioned);
        if (subject) assert.match(gap ?? '', subject);
        else assert.equal(gap, undefined);
      });
    }

    async function gapAfter(
      sql: string,
      setUp = `CREATE TABLE ${table} (${COLUMNS}, ${KEY})`,
    ): Promise<string | undefined> {
      await client.query(setUp);
      const proved = source().coverageOf(await prepare());
      for (const statement of sql.split(';')) await client.query(statement);
      return coverageGap(proved, source().coverageOf(await source().catalog()));
    }
  });
});
