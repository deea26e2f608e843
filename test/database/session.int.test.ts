import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { openPool } from '../../src/database/pool.ts';
import { openSession } from '../../src/database/session.ts';
import { quiet } from '../jobs/job-servers.ts';
import { sharedStack } from '../support/stack.ts';
import { HOSTILE_SETTINGS, testRole } from './roles.ts';
import type { TestRole } from './roles.ts';

const VALUES = `SELECT timestamptz '2024-03-02 01:02:03.456+00' AS time, interval '1 day' AS interval, '\\x00ff'::bytea::text AS bytes,
  0.1::float8 + 0.2::float8 AS sum, current_setting('search_path') AS path, current_setting('row_security') AS rls,
  current_setting('idle_session_timeout') AS idle, current_setting('transaction_read_only') AS read_only,
  current_setting('transaction_isolation') AS isolation, current_setting('tcp_keepalives_idle') AS keepalive`;

describe('a database session', () => {
  let role: TestRole;

  beforeEach(async () => {
    role = await testRole();
    await role.set(HOSTILE_SETTINGS);
  });
  afterEach(() => role.remove());

  for (const kind of ['pool', 'lead', 'catalog', 'load', 'stream'] as const) {
    it(`of kind ${kind} shows values as always, whatever is set for its role`, async () => {
      const client = await openSession(role.url, kind);
      try {
        client.setTypeParser(pg.types.builtins.TIMESTAMPTZ, String);
        client.setTypeParser(pg.types.builtins.INTERVAL, String);
        const { rows } = await client.query<Record<string, unknown>>(VALUES);
        const { keepalive, ...row } = rows[0] ?? {};
        assert.deepEqual(row, {
          time: '2024-03-02 01:02:03.456+00',
          interval: '1 day',
          bytes: '\\x00ff',
          sum: 0.30000000000000004,
          path: 'pg_catalog',
          rls: 'off',
          idle: '0',
          read_only: 'off',
          isolation: 'read committed',
        });
        assert.equal(keepalive, '10');
      } finally {
        await client.end();
      }
    });
  }

  it('is not ended while it idles, nor a load or stream while a statement takes long', async () => {
    if ((await serverVersion()) >= 170_000) await role.set({ transaction_timeout: '1s' });
    const lead = await openSession(role.url, 'lead');
    const load = await openSession(role.url, 'load');
    try {
      await load.query('BEGIN');
      await Promise.all([delay(1_500), load.query('SELECT pg_sleep(1.5)')]);
      await lead.query('SELECT 1');
      await delay(1_200); // in the transaction
      await load.query('COMMIT');
    } finally {
      await Promise.all([lead.end(), load.end()]);
    }
  });

  it('keeps settings of its URL that are not pinned, and pins the others', async () => {
    const url = new URL(role.url);
    url.searchParams.set('options', '-c work_mem=7MB -c datestyle=German');
    url.searchParams.set('statement_timeout', '1');
    const client = await openSession(url.href, 'catalog');
    try {
      const { rows } = await client.query(
        `SELECT current_setting('work_mem') AS memory, current_setting('datestyle') AS style, current_setting('statement_timeout') AS timeout`,
      );
      assert.deepEqual(rows, [{ memory: '7MB', style: 'ISO, YMD', timeout: '30s' }]);
    } finally {
      await client.end();
    }
  });

  it('of a pool is bounded by the server, so that a frozen process holds no lock', async () => {
    const pool = openPool({ url: role.url, size: 1 }, quiet);
    try {
      const { rows } = await pool.query(
        `SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
           current_setting('idle_in_transaction_session_timeout') AS idle`,
      );
      assert.deepEqual(rows, [{ statement: '8s', lock: '3s', idle: '5s' }]);
    } finally {
      await pool.end();
    }
  });

  it('whose password is wrong is a wrong configuration, named without the password', async () => {
    const url = new URL(role.url);
    url.password = 'another';
    await assert.rejects(openSession(url.href, 'lead'), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'refused');
      assert.match(error.message, /HEADWATER_SOURCE_URL/);
      assert.doesNotMatch(error.message, /another/);
      return true;
    });
  });
});

async function serverVersion(): Promise<number> {
  const client = await openSession(sharedStack().postgresUrl, 'catalog');
  try {
    const { rows } = await client.query<{ version: string }>(
      `SELECT current_setting('server_version_num') AS version`,
    );
    return Number(rows[0]?.version);
  } finally {
    await client.end();
  }
}
