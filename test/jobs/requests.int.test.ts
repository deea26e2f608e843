import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Pool } from 'pg';
import { HeadwaterError } from '../../src/base/errors.ts';
import type { RequestMessage } from '../../src/events/commands.ts';
import type { SubmitRequest } from '../../src/jobs/job.ts';
import { openPool } from '../../src/database/pool.ts';
import { saveJob } from '../../src/jobs/job-rows.ts';
import { fold } from '../../src/jobs/fold.ts';
import type { JobRecord } from '../../src/jobs/job-record.ts';
import { databaseTime } from '../../src/jobs/movement.ts';
import { countUnfinished } from '../../src/jobs/unfinished.ts';
import { parseRequestMessage } from '../../src/events/request-message.ts';
import { RequestSeal } from '../../src/events/request-seal.ts';
import { JobRequests } from '../../src/jobs/requests.ts';
import type { JobRequestsOptions } from '../../src/jobs/requests.ts';
import { migrate } from '../../src/jobs/migrate.ts';
import { jobTables } from '../../src/jobs/schema.ts';
import type { JobTables } from '../../src/jobs/schema.ts';
import type { StatusEvent } from '../../src/events/status.ts';
import { uniqueIdentifier, uniqueName } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';
import { testRole } from '../database/roles.ts';
import { jobEvents } from './events.ts';
import { newId, quiet } from './job-servers.ts';
import { EVERYTHING } from '../../src/events/request.ts';

const REQUEST: SubmitRequest = {
  clientId: 'me',
  requestUrl: 'http://127.0.0.1/fhir/$export?_type=Patient',
  parameters: { ...EVERYTHING, types: ['Patient'] },
};

const SEAL = new RequestSeal('a secret of the tests');

describe('requests', () => {
  let pool: Pool;
  let tables: JobTables;
  let slot: string;
  let messagePrefix: string;

  beforeEach(async () => {
    pool = openPool({ url: sharedStack().postgresUrl, size: 20 }, quiet);
    tables = jobTables(uniqueIdentifier('requests'));
    messagePrefix = uniqueName('headwater');
    await migrate(pool, tables);
    slot = uniqueIdentifier('slot');
    await pool.query(`CREATE PUBLICATION ${slot}`);
    await pool.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  });
  afterEach(async () => {
    await pool.query('SELECT pg_drop_replication_slot($1)', [slot]);
    await pool.query(`DROP PUBLICATION ${slot}`);
    await pool.query(`DROP SCHEMA ${tables.schema} CASCADE`);
    await pool.end();
  });

  function requests(options: Partial<JobRequestsOptions> = {}): JobRequests {
    const limits = { perClient: 100, inAll: 100 };
    return new JobRequests({ pool, tables, limits, newId, messagePrefix, seal: SEAL, ...options });
  }

  /** What capture would read in the write-ahead log. */
  async function messages(): Promise<RequestMessage[]> {
    const { rows } = await pool.query<{ data: Buffer }>(
      `SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2, 'messages', 'true')`,
      [slot, slot],
    );
    return rows.flatMap(({ data }): RequestMessage[] => {
      // M, flags, LSN, prefix, NUL, length, content
      if (data.toString('latin1', 0, 1) !== 'M') return [];
      const end = data.indexOf(0, 10);
      if (data.toString('utf8', 10, end) !== messagePrefix) return [];
      assert.equal(data[1], 1, 'transactional');
      const content = data.subarray(end + 5);
      assert.ok(parseRequestMessage(content, SEAL), 'capture takes it');
      const { seal: _, ...message } = JSON.parse(content.toString()) as RequestMessage & { seal: string };
      return [message];
    });
  }

  async function timeOf(jobId: string, column: 'accepted_at' | 'cancelled_at'): Promise<number> {
    const text = `SELECT ${column} AS at FROM ${tables.request} WHERE job_id = $1`;
    const { rows } = await pool.query<{ at: string }>(text, [jobId]);
    return Number(rows[0]?.at);
  }

  async function project(...events: StatusEvent[]): Promise<void> {
    let before: JobRecord | undefined;
    for (const event of events) {
      const { job } = fold(before, event);
      if (job) await saveJob(pool, tables, { before, after: job });
      before = job;
    }
  }

  it('makes the tables once when several processes start together', async () => {
    const others = jobTables(uniqueIdentifier('requests'));
    await Promise.all(Array.from({ length: 8 }, () => migrate(pool, others)));
    await migrate(pool, others);
    await pool.query(`DROP SCHEMA ${others.schema} CASCADE`);
  });

  it('writes a request and its message in one transaction', async () => {
    const id = await requests().submit({
      ...REQUEST,
      parameters: { ...REQUEST.parameters, since: '2024-01-01T00:00:00Z' },
    });
    assert.deepEqual(await messages(), [
      {
        kind: 'ExportRequested',
        jobId: id,
        clientId: 'me',
        acceptedAt: await timeOf(id, 'accepted_at'),
        requestUrl: REQUEST.requestUrl,
        parameters: withoutUndefined({
          ...EVERYTHING,
          types: ['Patient'],
          since: '2024-01-01T00:00:00Z',
        }),
      },
    ]);
  });

  it("takes the times of requests from the database when the gateway's clock is wrong", async () => {
    const real = Date.now;
    const began = await databaseTime(pool);
    const ids = new Map<string, number>();
    for (const wrong of [-11 * 60_000, 11 * 60_000]) {
      Date.now = () => real() + wrong;
      try {
        const id = await requests().submit(REQUEST);
        await requests().cancel(id, 'me');
        ids.set(id, wrong);
      } finally {
        Date.now = real;
      }
    }
    const ended = await databaseTime(pool);
    for (const id of ids.keys()) {
      const [accepted, cancelled] = [await timeOf(id, 'accepted_at'), await timeOf(id, 'cancelled_at')];
      assert.ok(began <= accepted && accepted <= cancelled && cancelled <= ended);
    }
  });

  it('sends nothing when the row cannot be written', async () => {
    const twice = requests({ newId: () => 'same' });
    await twice.submit(REQUEST);
    await assert.rejects(twice.submit(REQUEST), { code: '23505' }); // unique violation
    assert.equal((await messages()).length, 1);
    assert.equal((await pool.query(`SELECT FROM ${tables.request}`)).rowCount, 1);
  });

  it('shows an accepted job only to its client', async () => {
    const jobs = requests();
    const id = await jobs.submit(REQUEST);
    assert.deepEqual(await jobs.find(id, 'me'), {
      ...REQUEST,
      jobId: id,
      state: 'accepted',
      cancelRequested: false,
      acceptedAt: await timeOf(id, 'accepted_at'),
      endedAt: undefined,
      transactionTime: undefined,
      epoch: undefined,
      progress: 0,
      files: [],
      filesByTask: [],
      failure: undefined,
    });
    assert.equal(await jobs.find(id, 'you'), undefined);
    for (const odd of ['', 'x', '\0', "' OR true --", '%', 'é', 'x'.repeat(5_000)]) {
      assert.equal(await jobs.find(odd, 'me'), undefined);
      assert.equal(await jobs.cancel(odd, 'me'), false);
    }
  });

  it('shows the projected job, with files ordered by type, task and number', async () => {
    const jobs = requests();
    const id = await jobs.submit(REQUEST);
    const make = jobEvents(id);
    const [second, first] = [
      make.completed('0002', 'Patient', 'Claim'),
      make.completed('0001', 'Patient', 'Patient'),
    ];
    await project(make.planned(100, 100, 100), second, first, make.progressed('0003', 0.5));
    const view = await jobs.find(id, 'me');
    assert.equal(view?.state, 'running');
    assert.ok(Math.abs(view.progress - 2.5 / 3) < 1e-9);
    assert.equal(view.transactionTime, 1_740_000_000_123);
    assert.deepEqual(
      view.files.map(({ key }) => key.split('/')[1]),
      ['Claim.0002-1.ndjson', 'Patient.0001-0.ndjson', 'Patient.0001-1.ndjson', 'Patient.0002-0.ndjson'],
    );
    assert.equal(view.files[0]?.bytes, 2 ** 40 + 1);
    await project(make.failed());
    assert.deepEqual((await jobs.find(id, 'me'))?.failure, { code: 'deadline', message: 'late' });
  });

  it('shows the progress that workers report, and 1 for a completed task', async () => {
    const jobs = requests();
    const id = await jobs.submit(REQUEST);
    const make = jobEvents(id);
    await project(make.planned(99, 99), make.completed('0001', 'Patient'), make.started('0002'));
    const text = `INSERT INTO ${tables.progress} VALUES ($1, '0001', 0.4), ($1, '0002', 0.5)`;
    await pool.query(text, [id]);
    assert.equal((await jobs.find(id, 'me'))?.progress, 0.75);
  });

  it('cancels a job once, only for its client, and shows it at once', async () => {
    const jobs = requests();
    const id = await jobs.submit(REQUEST);
    assert.equal(await jobs.cancel(id, 'you'), false);
    assert.deepEqual(
      await Promise.all([jobs.cancel(id, 'me'), jobs.cancel(id, 'me')]).then((all) => all.sort()),
      [false, true],
    );
    assert.equal((await jobs.find(id, 'me'))?.cancelRequested, true);
    assert.deepEqual((await messages()).slice(1), [
      { kind: 'ExportCancelRequested', jobId: id, cancelledAt: await timeOf(id, 'cancelled_at') },
    ]);
  });

  it('cancels completed and failed jobs, but not expired ones', async () => {
    const jobs = requests();
    const ends = { completed: true, failed: true, expired: false };
    for (const [state, possible] of Object.entries(ends)) {
      const id = await jobs.submit(REQUEST);
      const make = jobEvents(id);
      await project(make.planned(), ...(state === 'expired' ? [make.expired()] : []));
      if (state === 'failed')
        await pool.query(`UPDATE ${tables.job} SET state = 'failed' WHERE job_id = $1`, [id]);
      assert.equal(await jobs.cancel(id, 'me'), possible, state);
    }
  });

  it('keeps the limits exactly when many clients ask at the same time', async () => {
    const jobs = requests({ limits: { perClient: 3, inAll: 5 } });
    const ask = (clientId: string): Promise<string>[] =>
      Array.from({ length: 12 }, () => jobs.submit({ ...REQUEST, clientId }));
    const answers = await Promise.allSettled([...ask('a'), ...ask('b'), ...ask('c')]);
    const refused = answers
      .filter((answer) => answer.status === 'rejected')
      .map(({ reason }) => (reason as HeadwaterError).code);
    assert.equal(answers.length - refused.length, 5);
    assert.deepEqual([...new Set(refused)], ['too-many']);
    const { rows } = await pool.query<{ n: string }>(
      `SELECT count(*) AS n FROM ${tables.request} GROUP BY client_id`,
    );
    assert.ok(rows.every(({ n }) => Number(n) <= 3));
    assert.equal((await messages()).length, 5);
  });

  it('lets a client ask as often in 24 hours as its role allows, exactly, and says when it may ask again', async () => {
    const jobs = requests();
    const ask = (clientId: string): Promise<string> =>
      jobs.submit({ ...REQUEST, clientId, limits: { perDay: 3, retentionMs: 7_000 } });
    const asked = await Promise.allSettled(Array.from({ length: 10 }, () => ask('p1')));
    assert.equal(asked.filter(({ status }) => status === 'fulfilled').length, 3);
    const refused = asked.find((one) => one.status === 'rejected')?.reason as HeadwaterError;
    assert.equal(refused.code, 'too-many');
    assert.match(refused.message, /3 exports in the last 24 hours/);
    assert.ok(
      (refused.retryAfter ?? 0) > 86_000 && (refused.retryAfter ?? 0) <= 86_400,
      String(refused.retryAfter),
    );
    const other = await ask('p2');
    assert.equal((await jobs.find(other, 'p2'))?.retentionMs, 7_000);
    await pool.query(
      `UPDATE ${tables.request} SET accepted_at = accepted_at - 86400000 WHERE client_id = 'p1'`,
    );
    await ask('p1');
  });

  it('counts a job as unfinished until it ends or is cancelled', async () => {
    const jobs = requests({ limits: { perClient: 1, inAll: 5 } });
    const tooMany = (error: unknown): boolean => error instanceof HeadwaterError && error.code === 'too-many';
    const first = await jobs.submit(REQUEST);
    await assert.rejects(jobs.submit(REQUEST), tooMany);
    await jobs.cancel(first, 'me');
    const second = await jobs.submit(REQUEST);
    const make = jobEvents(second);
    await project(make.planned(5));
    await assert.rejects(jobs.submit(REQUEST), tooMany);
    await project(make.planned(5), make.failed());
    await jobs.submit(REQUEST);
  });

  it('counts the unfinished requests of an earlier release without their table', async () => {
    const jobs = requests({ limits: { perClient: 5, inAll: 5 } });
    await jobs.submit(REQUEST);
    await jobs.cancel(await jobs.submit(REQUEST), 'me');
    const ended = jobEvents(await jobs.submit(REQUEST));
    await project(ended.planned(1), ended.failed());
    await pool.query(`DROP TABLE ${tables.unfinished}`);
    await migrate(pool, tables);
    assert.deepEqual(await countUnfinished(pool, tables), { accepted: 1, running: 0 });
  });

  for (const [set, then] of [
    ['off', 'on'],
    ['local', 'on'],
    ['remote_write', 'on'],
    ['remote_apply', 'remote_apply'],
  ] as const) {
    it(`commits with synchronous_commit = ${then} when the role has ${set}`, async () => {
      const role = await testRole();
      await role.set({ synchronous_commit: set });
      await recordAtCommit();
      const own = openPool({ url: role.url, size: 1 }, quiet);
      try {
        const jobs = requests({ pool: own });
        await jobs.cancel(await jobs.submit(REQUEST), 'me');
        const { rows } = await pool.query<{ mode: string }>(`SELECT mode FROM ${tables.schema}.seen`);
        assert.deepEqual(
          rows.map(({ mode }) => mode),
          [then, then],
        );
      } finally {
        await own.end();
        await role.remove();
      }
    });
  }

  /** What synchronous_commit is when a transaction that touches a request commits. */
  async function recordAtCommit(): Promise<void> {
    const { schema, request } = tables;
    await pool.query(`
      CREATE TABLE ${schema}.seen (mode text);
      CREATE FUNCTION ${schema}.see() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN INSERT INTO ${schema}.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END$$;
      CREATE CONSTRAINT TRIGGER see AFTER INSERT OR UPDATE ON ${request} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION ${schema}.see()`);
  }

  it('accepts a kick-off while another process is frozen inside its own', async () => {
    const frozen = await pool.connect();
    await frozen.query('BEGIN');
    await frozen.query(`SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, [
      `headwater submit ${tables.schema}`,
    ]);
    await requests({ limits: { perClient: 100, inAll: 1_000 } }).submit(REQUEST);
    await frozen.query('ROLLBACK');
    frozen.release();
  });

  it('leaves no transaction open that a frozen process could hold', async () => {
    const own = openPool({ url: sharedStack().postgresUrl, size: 1 }, quiet);
    const client = await own.connect();
    const texts: string[] = [];
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    Object.assign(client, {
      query: (...args: unknown[]) => {
        texts.push(String(args[0]));
        return query(...args);
      },
    });
    client.release();
    const jobs = requests({ pool: own });
    await jobs.cancel(await jobs.submit(REQUEST), 'me');
    await own.end();
    assert.equal(texts.length, 2, 'one statement to the server for each request');
  });

  it('is unavailable while the tables are missing', async () => {
    const jobs = requests({ tables: jobTables(uniqueIdentifier('missing')) });
    const unavailable = { code: 'unavailable' };
    await assert.rejects(jobs.submit(REQUEST), unavailable);
    await assert.rejects(jobs.find('x', 'me'), unavailable);
    await assert.rejects(jobs.cancel('x', 'me'), unavailable);
  });

  it('counts unfinished requests without reading ended jobs', async () => {
    const jobs = requests({ limits: { perClient: 1, inAll: 1 } });
    for (const end of ['failed', 'completed', 'cancelled'] as const) {
      const id = await jobs.submit(REQUEST);
      const make = jobEvents(id);
      if (end === 'failed') await project(make.failed());
      else if (end === 'completed') await project(make.planned());
      else await jobs.cancel(id, 'me');
    }
    assert.equal((await pool.query(`SELECT FROM ${tables.unfinished}`)).rowCount, 0);
  });

  it('returns why a job was refused as soon as its plan fails, and nothing if it has a plan', async () => {
    const jobs = requests();
    const [refused, planned, late] = await Promise.all([1, 2, 3].map(() => jobs.submit(REQUEST)));
    const [a, b, c] = [refused, planned, late].map((id) =>
      jobs.refusal(id ?? '', id === late ? 100 : 60_000),
    );
    await project(jobEvents(refused ?? '').failed());
    await project(jobEvents(planned ?? '').planned(1), jobEvents(planned ?? '').failed());
    assert.deepEqual(await Promise.all([a, b, c]), [
      { code: 'deadline', message: 'late' },
      undefined,
      undefined,
    ]);
  });

  it('accepts a job when the database goes away before its plan exists', async () => {
    const own = openPool({ url: sharedStack().postgresUrl, size: 1 }, quiet);
    const jobs = requests({ pool: own });
    const id = await jobs.submit(REQUEST);
    await own.end();
    assert.equal(await jobs.refusal(id, 50), undefined);
  });

  it('has files until it is cancelled or expires', async () => {
    const jobs = requests();
    const [first, second] = [await jobs.submit(REQUEST), await jobs.submit(REQUEST)];
    assert.deepEqual([await jobs.hasFiles(first), await jobs.hasFiles('none')], [true, false]);
    await jobs.cancel(first, 'me');
    assert.equal(await jobs.hasFiles(first), false);
    await project(jobEvents(second).planned());
    assert.equal(await jobs.hasFiles(second), true);
    await project(jobEvents(second).planned(), jobEvents(second).expired());
    assert.equal(await jobs.hasFiles(second), false);
  });

  it('is unavailable within its time limit when the database is away or silent', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const open = (silent.address() as AddressInfo).port;
    const unavailable = (error: unknown): boolean =>
      error instanceof HeadwaterError && error.code === 'unavailable' && error.retryable;
    for (const port of [1, open]) {
      const away = openPool(
        { url: `postgresql://u:secret@127.0.0.1:${port}/x`, connectTimeoutMs: 300 },
        quiet,
      );
      const jobs = requests({ pool: away });
      await assert.rejects(jobs.submit(REQUEST), unavailable);
      await assert.rejects(jobs.find('x', 'me'), unavailable);
      await assert.rejects(jobs.cancel('x', 'me'), unavailable);
      await away.end();
    }
    silent.close();
  });

  it('is unavailable when its session is terminated, and works again at the next request', async () => {
    const own = openPool({ url: sharedStack().postgresUrl, size: 1 }, quiet);
    const jobs = requests({ pool: own });
    await jobs.submit(REQUEST);
    const { rows } = await own.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const hold = await pool.connect();
    await hold.query(`BEGIN; LOCK TABLE ${tables.request} IN ACCESS EXCLUSIVE MODE`);
    const waiting = assert.rejects(
      jobs.submit(REQUEST),
      (e: unknown) => e instanceof HeadwaterError && e.code === 'unavailable',
    );
    await hold.query(`SELECT pg_sleep(0.05)`);
    await hold.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
    await waiting;
    await hold.query('ROLLBACK');
    hold.release();
    await jobs.submit(REQUEST);
    assert.equal((await messages()).length, 2);
    await own.end();
  });
});

/** As JSON has it. */
function withoutUndefined(value: object): unknown {
  return JSON.parse(JSON.stringify(value));
}
