import assert from 'node:assert/strict';
import { HeadwaterError } from '../../src/base/errors.ts';
import type { StatusEvent } from '../../src/events/status.ts';
import { fold } from '../../src/jobs/fold.ts';
import type { JobRecord } from '../../src/jobs/job-record.ts';
import { loadJob } from '../../src/jobs/job-rows.ts';
import { rebuild } from '../../src/jobs/rebuild.ts';
import { jobEvents, randomHistory } from './events.ts';
import { jobServers, makeProjector, manifest, Running } from './job-servers.ts';
import type { JobServers } from './job-servers.ts';
import { until } from '../support/until.ts';

describe('projector', () => {
  let servers: JobServers;
  let running: Running;

  beforeEach(async () => {
    servers = await jobServers();
    running = new Running();
  });
  afterEach(async () => {
    await running.stop();
    await servers.remove();
  });

  /** What the log says, by the fold alone: jobs and how often what was announced of them. */
  async function expected(): Promise<{ jobs: Map<string, JobRecord>; announced: Map<string, string[]> }> {
    const jobs = new Map<string, JobRecord>();
    const announced = new Map<string, string[]>();
    for (const { value } of await servers.records(servers.topics.status)) {
      const event = servers.codecs.status.decode(value);
      const { job, announcements } = fold(jobs.get(event.jobId), event);
      if (job) jobs.set(event.jobId, job);
      const list = announced.get(event.jobId) ?? [];
      announced.set(event.jobId, [
        ...list,
        ...announcements.map(({ kind, file }) => `${kind} ${file?.key ?? ''}`),
      ]);
    }
    return { jobs, announced: new Map([...announced].filter(([, list]) => list.length > 0)) };
  }

  /** Until every record of the log is folded and every announcement published. */
  async function settled(): Promise<void> {
    const records = await servers.records(servers.topics.status);
    const partitions = new Map<number, number>();
    for (const [partition, end] of (await servers.reader.ends(servers.topics.status)).entries()) {
      for await (const batch of servers.reader.read(
        { topic: servers.topics.status, partition, from: 0 as typeof end, to: end },
        running.signal,
      )) {
        partitions.set(partition, (batch.at(-1)?.offset ?? 0) + 1);
      }
    }
    assert.ok(records.length > 0);
    await until('the projector to store the whole log', async () => {
      const { rows } = await servers.pool.query<{ partition: number; next: string }>(
        `SELECT partition, next FROM ${servers.tables.offset}`,
      );
      const done = rows.filter(({ partition, next }) => Number(next) === partitions.get(partition)).length;
      const { rowCount } = await servers.pool.query(`SELECT FROM ${servers.tables.announcement} LIMIT 1`);
      return done === partitions.size && rowCount === 0;
    });
  }

  async function check(): Promise<void> {
    const { jobs, announced } = await expected();
    for (const [jobId, job] of jobs)
      assert.deepEqual(await loadJob(servers.pool, servers.tables, jobId), job);
    const { rows } = await servers.pool.query<{ n: string }>(
      `SELECT count(*) AS n FROM ${servers.tables.job}`,
    );
    assert.equal(Number(rows[0]?.n), jobs.size);
    const published = new Map<string, string[]>();
    const count = [...announced.values()].flat().length;
    // Kafka shows a committed transaction some milliseconds after its commit.
    await until('the announcements', async () => (await servers.exported()).length >= count);
    for (const { jobId, kind, file } of await servers.exported()) {
      published.set(jobId, [...(published.get(jobId) ?? []), `${kind} ${file?.key ?? ''}`]);
    }
    assert.deepEqual(new Map([...published].sort()), new Map([...announced].sort()));
  }

  it('continues after an unreadable record, and reports it once', async () => {
    const a = jobEvents('a', Date.now());
    await servers.append(a.planned(1));
    await servers.appendGarbage('a');
    await servers.append(a.completed('0001', 'Patient'));
    running.start((signal) => makeProjector(servers).run(signal));
    await until(
      'the job to be completed',
      async () => (await loadJob(servers.pool, servers.tables, 'a'))?.state === 'completed',
    );
    assert.equal(servers.unreadable.length, 1);
    assert.equal(servers.unreadable[0]?.offset, 1);
  });

  it('folds the log into the tables and announces each event once, in order', async () => {
    running.start((signal) => makeProjector(servers).run(signal));
    const make = jobEvents('job-1');
    await servers.append(make.planned(10, 20), make.started('0001'), make.progressed('0001', 0.5));
    await servers.append(make.completed('0001', 'Claim'), make.completed('0002', 'Patient'));
    await settled();
    await check();
    const events = await servers.exported();
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['accepted', 'started', 'file-ready', 'file-ready', 'completed'],
    );
    const last = events.at(-1);
    assert.equal(last?.clientId, 'client');
    assert.equal(last.transactionTime, '2025-02-19T21:20:00.123Z');
    assert.deepEqual(JSON.parse(last.manifest ?? ''), {
      output: [`${make.folder}/Claim.0001-0.ndjson`, `${make.folder}/Patient.0002-0.ndjson`],
    });
    assert.equal(events[2]?.file?.bytes, 2 ** 40);
  });

  it('keeps progress through a rebuild of the tables', async () => {
    const projector = new Running();
    projector.start((signal) => makeProjector(servers).run(signal));
    const make = jobEvents('job-1');
    await servers.append(make.planned(10, 20), make.started('0001'));
    await settled();
    const told = async (): Promise<unknown[]> =>
      (await servers.pool.query(`SELECT * FROM ${servers.tables.progress}`)).rows;
    const before = await servers.dump();
    await servers.publisher.append([
      { topic: servers.topics.progress, key: 'job-1', value: Buffer.from('no event') },
    ]);
    await servers.tell(
      make.progressed('0001', 0.5),
      make.progressed('0001', 0.25),
      jobEvents('other').progressed('0001', 1),
    );
    const furthest = [{ job_id: 'job-1', task_id: '0001', fraction: 0.5 }];
    await until('progress to be stored', async () => (await told()).length > 0);
    assert.deepEqual(await told(), furthest);
    assert.equal(await servers.dump(), before);
    await projector.stop();
    await rebuild(
      {
        ...servers,
        manifest,
        codec: servers.codecs.status,
        statusTopic: servers.topics.status,
        announced: { topic: servers.topics.announced, codec: servers.codecs.announced },
      },
      running.signal,
    );
    assert.equal(await servers.dump(), before);
    assert.deepEqual(await told(), furthest);
    running.start((signal) => makeProjector(servers).run(signal));
    await servers.append(make.completed('0001', 'Patient'), make.completed('0002', 'Patient'));
    await settled();
    await servers.tell(make.progressed('0001', 0.7));
    await until('progress to be removed', async () => (await told()).length === 0);
  });

  it('folds events when the progress topic is missing', async () => {
    const { topics } = servers;
    const without = { ...servers, topics: { ...topics, progress: `${topics.progress}.missing` } };
    running.start((signal) => makeProjector(without).run(signal));
    await servers.append(jobEvents('job-1').planned(10));
    await settled();
    await check();
  });

  it('names the client of a job that failed before its plan', async () => {
    running.start((signal) => makeProjector(servers).run(signal));
    await servers.pool.query(
      `INSERT INTO ${servers.tables.request} VALUES ('job-1', 'somebody', 'http://x/fhir/$export', '{}', 1, NULL)`,
    );
    await servers.append(jobEvents('job-1').failed());
    await settled();
    const [begin, event] = await servers.exported();
    assert.deepEqual([begin?.kind, begin?.at, begin?.clientId], ['accepted', 1, 'somebody']);
    assert.deepEqual(
      [event?.kind, event?.clientId, event?.requestUrl],
      ['failed', 'somebody', 'http://x/fhir/$export'],
    );
    assert.deepEqual(event?.failure, { code: 'deadline', message: 'late' });
  });

  it('continues and announces exactly once when its session is killed repeatedly', async () => {
    const history = randomHistory(40, 7);
    let stop = false;
    let ended = 0;
    running.start(async (signal) => {
      while (!signal.aborted) {
        await makeProjector(servers)
          .run(signal)
          .catch(() => ended++); // as the supervisor does
      }
    });
    const killer = (async () => {
      while (!stop) {
        await new Promise((resolve) => setTimeout(resolve, 60 + Math.random() * 120));
        await killLeader();
      }
    })();
    for (let i = 0; i < history.length; i += 9) {
      await servers.append(...history.slice(i, i + 9));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await until('five sessions to be ended', async () => ended >= 5);
    stop = true;
    await killer;
    await settled();
    await check();
  });

  it('forgets jobs without files, with their requests, and a rebuild does not restore them', async () => {
    const day = 86_400_000;
    const old = Date.now() - 100 * day;
    const [gone, kept, busy] = [
      jobEvents('gone', old),
      jobEvents('kept', Date.now()),
      jobEvents('running', old),
    ];
    for (const id of ['gone', 'kept', 'running'])
      await servers.pool.query(
        `INSERT INTO ${servers.tables.request} VALUES ($1, 'me', 'http://x/fhir/$export', '{}', 1, NULL)`,
        [id],
      );
    for (const make of [gone, kept])
      await servers.append(make.planned(1), make.completed('0001', 'Patient'), make.expired());
    await servers.append(busy.planned(1));
    const first = new Running();
    first.start((signal) => makeProjector(servers, 90 * day).run(signal));
    await settled();
    await first.stop();
    // The one that starts now finds them.
    const second = new Running();
    second.start((signal) => makeProjector(servers, 90 * day).run(signal));
    await until('old jobs to be forgotten', async () => (await ids(servers.tables.job)).length === 2);
    await second.stop();
    for (const table of [servers.tables.job, servers.tables.request])
      assert.deepEqual(await ids(table), ['kept', 'running']);
    for (const table of [servers.tables.task, servers.tables.file])
      assert.ok(!(await ids(table)).includes('gone'), table);
    const before = await servers.dump();
    // As when the rebuild came before its batch was forgotten.
    await servers.pool.query(
      `INSERT INTO ${servers.tables.request} VALUES ('gone', 'me', 'http://x/fhir/$export', '{}', 1, NULL)`,
    );
    await rebuild(
      {
        ...servers,
        manifest,
        codec: servers.codecs.status,
        statusTopic: servers.topics.status,
        announced: { topic: servers.topics.announced, codec: servers.codecs.announced },
      },
      AbortSignal.timeout(60_000),
    );
    assert.equal(await servers.dump(), before);
    assert.deepEqual(await ids(servers.tables.request), ['kept', 'running']);
  });

  it('does not rewrite the plan of a job when only its progress changes', async () => {
    running.start((signal) => makeProjector(servers).run(signal));
    const make = jobEvents('job-1');
    await servers.append(make.planned(10, 20));
    await settled();
    await servers.pool.query(`UPDATE ${servers.tables.job} SET plan = plan || '{"mark": 1}'`);
    await servers.append(make.progressed('0001', 0.5));
    await settled();
    const { rows } = await servers.pool.query(`SELECT plan->>'mark' AS mark FROM ${servers.tables.job}`);
    assert.deepEqual(rows, [{ mark: '1' }]);
  });

  it('stands by while another projector leads, and leads when that one ends', async () => {
    const [first, second] = [new Running(), new Running()];
    first.start((signal) => makeProjector(servers).run(signal));
    await until('one leader', async () => (await leaders()).length === 1);
    second.start((signal) => makeProjector(servers).run(signal));
    const make = jobEvents('job-1');
    await servers.append(make.planned(1));
    await settled();
    assert.equal((await leaders()).length, 1);
    await first.stop();
    await servers.append(make.completed('0001'));
    await settled();
    await check();
    await second.stop();
    assert.deepEqual(await leaders(), []);
  });

  it('announces nothing twice when the database has lost its last transactions', async () => {
    await servers.append(...randomHistory(10, 3));
    const first = new Running();
    first.start((signal) => makeProjector(servers).run(signal));
    await settled();
    await first.stop();
    const { job, task, file, offset } = servers.tables;
    for (const table of [job, task, file, offset]) await servers.pool.query(`DELETE FROM ${table}`);
    running.start((signal) => makeProjector(servers).run(signal));
    await servers.append(jobEvents('one-more').planned());
    await settled();
    await check();
  });

  it('ends with a retryable error while its topic is missing', async () => {
    const nowhere = { ...servers, topics: { ...servers.topics, status: `${servers.prefix}.none` } };
    await assert.rejects(
      makeProjector(nowhere).run(running.signal),
      (e: unknown) => e instanceof HeadwaterError && e.code === 'unavailable',
    );
    assert.deepEqual(await leaders(), []);
  });

  describe('rebuild', () => {
    const options = (): Parameters<typeof rebuild>[0] => ({
      ...servers,
      manifest,
      codec: servers.codecs.status,
      statusTopic: servers.topics.status,
      announced: { topic: servers.topics.announced, codec: servers.codecs.announced },
    });

    it('makes the same tables from the log, and announces nothing again', async () => {
      for (const seed of [1, 2, 3]) await servers.append(...renamed(randomHistory(15, seed), seed));
      const projector = new Running();
      projector.start((signal) => makeProjector(servers).run(signal));
      await settled();
      await projector.stop();
      const before = await servers.dump();
      await servers.pool.query(`UPDATE ${servers.tables.job} SET state = 'failed', ended_at = 1`);
      await servers.pool.query(`DELETE FROM ${servers.tables.file}`);
      const progress: number[] = [];
      const { events } = await rebuild(
        { ...options(), onProgress: (done, total) => progress.push(done / total) },
        running.signal,
      );
      assert.equal(await servers.dump(), before);
      assert.equal(events, (await servers.records(servers.topics.status)).length);
      assert.equal(progress.at(-1), 1);
      assert.deepEqual(
        progress,
        [...progress].sort((a, b) => a - b),
      );
      running.start((signal) => makeProjector(servers).run(signal));
      await servers.append(jobEvents('one-more').planned());
      await settled();
      await check();
    });

    it('takes the lead from a running projector, which continues afterwards', async () => {
      running.start(async (signal) => {
        while (!signal.aborted)
          await makeProjector(servers)
            .run(signal)
            .catch(() => undefined);
      });
      const history = randomHistory(20, 11);
      await servers.append(...history.slice(0, 60));
      await settled();
      const before = await servers.dump();
      await rebuild(options(), running.signal);
      assert.equal(await servers.dump(), before);
      await servers.append(...history.slice(60), jobEvents('one-more').planned());
      await settled();
      await check();
    });

    it('leaves the old tables when it is interrupted', async () => {
      await servers.append(...randomHistory(10, 5));
      const projector = new Running();
      projector.start((signal) => makeProjector(servers).run(signal));
      await settled();
      await projector.stop();
      const before = await servers.dump();
      const stop = new AbortController();
      const interrupted = rebuild({ ...options(), onProgress: () => stop.abort() }, stop.signal);
      await assert.rejects(interrupted, { name: 'AbortError' });
      assert.equal(await servers.dump(), before);
    });

    it('publishes the pending announcements once', async () => {
      await servers.append(...randomHistory(10, 5));
      await rebuild(options(), running.signal);
      running.start((signal) => makeProjector(servers).run(signal));
      await settled();
      await check();
    });
  });

  /** Of jobs with a row in the table. */
  async function ids(table: string): Promise<string[]> {
    const { rows } = await servers.pool.query<{ id: string }>(
      `SELECT DISTINCT job_id AS id FROM ${table} ORDER BY 1`,
    );
    return rows.map(({ id }) => id);
  }

  /** Sessions that hold the lead of this test's schema. */
  async function leaders(): Promise<number[]> {
    const { rows } = await servers.pool.query<{ pid: number }>(
      `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
       AND objid::bigint = (hashtextextended($1, 0) & 4294967295)`,
      [`headwater lead ${servers.tables.schema}`],
    );
    return rows.map(({ pid }) => pid);
  }

  async function killLeader(): Promise<void> {
    for (const pid of await leaders()) await servers.pool.query('SELECT pg_terminate_backend($1)', [pid]);
  }
});

function renamed(events: readonly StatusEvent[], seed: number): StatusEvent[] {
  return events.map((event) => ({ ...event, jobId: `${event.jobId}-${seed}` }));
}
