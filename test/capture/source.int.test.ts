import assert from 'node:assert/strict';
import pg from 'pg';
import { presetMapping } from '../../src/capture/source-mapping.ts';
import { Source } from '../../src/capture/source.ts';
import { uniqueIdentifier } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

const COLUMNS = 'type text, id text, version bigint, last_updated timestamptz, body text, deleted boolean';

describe('a source', () => {
  const table = uniqueIdentifier('source');
  let client: pg.Client;

  before(async () => {
    client = new pg.Client({ connectionString: sharedStack().postgresUrl });
    await client.connect();
  });

  afterEach(async () => {
    await client.query(`DROP PUBLICATION IF EXISTS ${table}; DROP TABLE IF EXISTS public.${table}`);
  });

  after(() => client.end());

  const prepare = (): Promise<void> =>
    new Source({
      url: sharedStack().postgresUrl,
      slot: table,
      publication: table,
      mapping: presetMapping('headwater', `public.${table}`),
    }).prepare();

  it('is published with whole old rows, however often it is prepared', async () => {
    await client.query(`CREATE TABLE public.${table} (${COLUMNS})`);
    await prepare();
    await prepare();
    const { rows } = await client.query(
      `SELECT relreplident, pubname FROM pg_class JOIN pg_publication_tables ON tablename = relname WHERE relname = $1`,
      [table],
    );
    assert.deepEqual(rows, [{ relreplident: 'f', pubname: table }]);
  });

  it('that is partitioned is refused: its changes come under the names of its parts', async () => {
    await client.query(`CREATE TABLE public.${table} (${COLUMNS}) PARTITION BY LIST (type)`);
    await assert.rejects(prepare(), { code: 'bad-config', message: /partitioned/ });
  });

  it('that is not there is waited for', async () => {
    await assert.rejects(prepare(), { code: 'unavailable', message: new RegExp(`no table public.${table}`) });
  });
});
