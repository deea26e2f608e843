import assert from 'node:assert/strict';
import type { Pool } from 'pg';
import { openPool } from '../../src/database/pool.ts';
import { claimSchema } from '../../src/jobs/installation.ts';
import { migrate } from '../../src/jobs/migrate.ts';
import { jobTables, schemaOf } from '../../src/jobs/schema.ts';
import { uniqueName } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';
import { quiet } from './job-servers.ts';

describe('an installation', () => {
  it('has the schema headwater by default, and its own schema for any other name', () => {
    assert.equal(schemaOf('headwater'), 'headwater');
    assert.equal(schemaOf('acme'), 'headwater_acme');
    const names = [
      'a.b',
      'a_b',
      'A_B',
      'a-b',
      'a',
      'A',
      'headwater_a',
      'x'.repeat(100),
      `${'x'.repeat(99)}y`,
    ];
    const schemas = names.map(schemaOf);
    assert.equal(new Set(schemas).size, names.length);
    for (const schema of schemas) jobTables(schema); // a valid name
  });

  describe('with job tables', () => {
    const name = uniqueName('installation');
    const tables = jobTables(schemaOf(name));
    let pool: Pool;

    before(async () => {
      pool = openPool({ url: sharedStack().postgresUrl }, quiet);
      await migrate(pool, tables);
    });
    after(async () => {
      await pool.query(`DROP SCHEMA ${tables.schema} CASCADE`);
      await pool.end();
    });

    it('keeps its id when it claims the schema again', async () => {
      const ids = await Promise.all(Array.from({ length: 8 }, () => claimSchema(pool, tables, name)));
      assert.equal(new Set(ids).size, 1);
    });

    it('cannot claim the schema of another installation, and the error names that one', async () => {
      await claimSchema(pool, tables, name);
      await assert.rejects(claimSchema(pool, tables, 'another'), {
        code: 'bad-config',
        message: new RegExp(`belongs to the installation "${name}"; choose another HEADWATER_TOPIC_PREFIX`),
      });
    });
  });
});
