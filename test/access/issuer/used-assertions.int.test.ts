import assert from 'node:assert/strict';
import type { Pool } from 'pg';
import { UsedAssertions } from '../../../src/access/issuer/used-assertions.ts';
import { openPool } from '../../../src/database/pool.ts';
import { migrate } from '../../../src/jobs/migrate.ts';
import { jobTables } from '../../../src/jobs/schema.ts';
import { uniqueIdentifier } from '../../support/names.ts';
import { sharedStack } from '../../support/stack.ts';

describe('used assertions', () => {
  const tables = jobTables(uniqueIdentifier('used'));
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  let pool: Pool;

  before(async () => {
    pool = openPool({ url: sharedStack().postgresUrl, size: 20 }, quiet);
    await migrate(pool, tables);
  });
  after(async () => {
    await pool.query(`DROP SCHEMA ${tables.schema} CASCADE`);
    await pool.end();
  });

  const store = (): UsedAssertions => new UsedAssertions(pool, tables.usedAssertion);

  it('are used once, by many gateways at a time and after a restart', async () => {
    const gateways = [store(), store()];
    const now = Date.now();
    const times = { deadAt: now + 360_000, now };
    const uses = Array.from({ length: 25 }, () =>
      gateways.map((one) => one.use('client', 'one', times)),
    ).flat();
    assert.equal((await Promise.all(uses)).filter((first) => first).length, 1);
    assert.equal(await store().use('client', 'one', times), false);
    assert.equal(await store().use('other', 'one', times), true);
  });

  it('are forgotten once they are too old to be used', async () => {
    const gateway = store();
    const now = Date.now();
    for (let i = 0; i < 10; i++) await gateway.use('client', `old-${i}`, { deadAt: now + 1_000, now });
    await gateway.use('client', 'later', { deadAt: now + 500_000, now: now + 100_000 });
    const { rows } = await pool.query(`SELECT FROM ${tables.usedAssertion} WHERE dead_at < $1`, [
      now + 100_000,
    ]);
    assert.equal(rows.length, 0);
  });
});
