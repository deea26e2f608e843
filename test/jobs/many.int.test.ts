import assert from 'node:assert/strict';
import type { Pool } from 'pg';
import { openPool } from '../../src/database/pool.ts';
import { openSession } from '../../src/database/session.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import { RequestSeal } from '../../src/events/request-seal.ts';
import { JobRequests } from '../../src/jobs/requests.ts';
import { migrate } from '../../src/jobs/migrate.ts';
import { jobTables } from '../../src/jobs/schema.ts';
import type { JobTables } from '../../src/jobs/schema.ts';
import { countUnfinished } from '../../src/jobs/unfinished.ts';
import { uniqueIdentifier } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';
import { newId, quiet } from './job-servers.ts';

/** HEADWATER_TEST_PAST_JOBS=1000000 for the figures. */
const PAST = Number(process.env['HEADWATER_TEST_PAST_JOBS'] ?? 50_000);
const ASKED = 200;

describe(`requests after ${String(PAST)} past jobs`, function () {
  this.timeout(600_000);
  let pool: Pool;
  let tables: JobTables;

  before(async () => {
    pool = openPool({ url: sharedStack().postgresUrl }, quiet);
    tables = jobTables(uniqueIdentifier('many'));
    await migrate(pool, tables);
    const series = `generate_series(1, ${String(PAST)}) n`;
    const client = await openSession(sharedStack().postgresUrl, 'load');
    await client.query(`INSERT INTO ${tables.request} SELECT 'past-' || n, '127.0.0.1', 'http://x/fhir/$export', '{}', n, NULL FROM ${series};
      INSERT INTO ${tables.job} SELECT 'past-' || n, 'expired', '{"folder": "f"}', true, n, n, NULL FROM ${series};
      ANALYZE ${tables.request}; ANALYZE ${tables.job}`);
    await client.end();
  });
  after(async () => {
    await pool.query(`DROP SCHEMA ${tables.schema} CASCADE`);
    await pool.end();
  });

  async function times(work: () => Promise<unknown>): Promise<{ p50: number; p99: number }> {
    const taken: number[] = [];
    for (let n = 0; n < ASKED; n++) {
      const begin = performance.now();
      await work();
      taken.push(performance.now() - begin);
    }
    taken.sort((a, b) => a - b);
    return { p50: taken[ASKED / 2] ?? 0, p99: taken[Math.floor(ASKED * 0.99)] ?? 0 };
  }

  it('cost the same as without past jobs', async () => {
    const jobs = new JobRequests({
      pool,
      tables,
      limits: { perClient: 1_000, inAll: 1_000 },
      newId,
      messagePrefix: 'none',
      seal: new RequestSeal('a secret of the tests'),
    });
    const request = { clientId: 'me', requestUrl: 'http://x', parameters: EVERYTHING };
    const submit = await times(() => jobs.submit(request));
    const metrics = await times(() => countUnfinished(pool, tables));
    console.log(
      `      kick-off p50 ${submit.p50.toFixed(1)} ms, p99 ${submit.p99.toFixed(1)} ms; counts of /metrics p99 ${metrics.p99.toFixed(1)} ms`,
    );
    assert.deepEqual(await countUnfinished(pool, tables), { accepted: ASKED, running: 0 });
    const { rows } = await pool.query<{ scans: string }>(
      `SELECT coalesce(sum(seq_tup_read), 0) AS scans FROM pg_stat_user_tables WHERE schemaname = $1 AND relname IN ('job', 'export_request')`,
      [tables.schema.replaceAll('"', '')],
    );
    // Filling the indexes and ANALYZE do not count; reading the tables from end to end does.
    assert.ok(Number(rows[0]?.scans) < PAST, 'no statement reads all past jobs');
  });
});
