import assert from 'node:assert/strict';
import type { Pool, PoolClient } from 'pg';
import { asking, openPool, transaction } from '../../src/database/pool.ts';
import { sharedStack } from '../support/stack.ts';
import { quiet } from '../jobs/job-servers.ts';
import { testRole } from './roles.ts';

describe('a pool of database connections', () => {
  let pool: Pool;
  let other: Pool;
  const open = (): Pool => openPool({ url: sharedStack().postgresUrl, size: 1 }, quiet);
  const pidOf = async (client: Pool | PoolClient): Promise<number | undefined> =>
    (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid;
  const terminate = (pid: number | undefined): Promise<unknown> =>
    other.query('SELECT pg_terminate_backend($1)', [pid]);

  beforeEach(() => {
    pool = open();
    other = open();
  });
  afterEach(() => Promise.all([pool.end(), other.end()]));

  it('says unavailable when a session ends between two queries of a transaction, and takes a new one', async () => {
    await assert.rejects(
      transaction(pool, async (client) => {
        const ended = new Promise<void>((resolve) => client.once('end', resolve));
        await terminate(await pidOf(client));
        await ended;
      }),
      { code: 'unavailable' },
    );
    assert.equal(await transaction(pool, () => Promise.resolve('done')), 'done');
  });

  it('says refused, and which right is missing, when the user may not do something', async () => {
    const role = await testRole('NOSUPERUSER');
    const poor = openPool({ url: role.url, size: 1 }, quiet);
    try {
      await assert.rejects(
        transaction(poor, (client) => client.query('CREATE SCHEMA not_allowed')),
        { code: 'refused', message: /GRANT it: permission denied for database/ },
      );
    } finally {
      await poor.end();
      await role.remove();
    }
  });

  it('says unavailable when a session ends during a query', async () => {
    await assert.rejects(
      transaction(pool, async (client) => {
        const pid = await pidOf(client);
        await Promise.all([client.query('SELECT pg_sleep(5)'), terminate(pid)]);
      }),
      { code: 'unavailable' },
    );
  });

  it('replaces a session that ended while it was idle', async () => {
    const pid = await pidOf(pool);
    const removed = new Promise<void>((resolve) => pool.once('remove', () => resolve()));
    await terminate(pid);
    await removed;
    assert.notEqual(await asking(() => pidOf(pool)), pid);
  });
});
