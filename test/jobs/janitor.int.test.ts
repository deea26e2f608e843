import assert from 'node:assert/strict';
import { mkdtemp, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StatusEvent } from '../../src/events/status.ts';
import { Janitor } from '../../src/jobs/janitor.ts';
import { FsStore } from '../../src/storage/fs-store.ts';
import { jobEvents } from './events.ts';
import { jobServers, makeProjector, quiet, Running, until } from './job-servers.ts';
import type { JobServers } from './job-servers.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NOW = Date.parse('2025-06-01T12:00:00Z');

describe('janitor', () => {
  let servers: JobServers;
  let running: Running;
  let root: string;
  let store: FsStore;
  let now: number;
  let rounds: number;

  beforeEach(async () => {
    servers = await jobServers();
    running = new Running();
    root = await mkdtemp(join(tmpdir(), 'headwater-janitor-'));
    store = new FsStore(root);
    [now, rounds] = [NOW, 0];
  });
  afterEach(async () => {
    await running.stop();
    await servers.remove();
    await rm(root, { recursive: true });
  });

  function startJanitor(): void {
    const janitor = new Janitor({
      ...servers,
      store,
      containers: [],
      statusTopic: servers.topics.status,
      codec: servers.codecs.status,
      jobDeadlineMs: 10 * MINUTE,
      maxExportMs: 24 * HOUR,
      retentionMs: 48 * HOUR,
      clock: () => now,
      logger: quiet,
      health: { ready: () => rounds++ },
      intervalMs: 10,
      sweepDelayMs: 1_000,
      inventoryMs: 5_000,
    });
    running.start((signal) => janitor.run(signal));
  }

  /** Two rounds that began after now. */
  async function twoRounds(): Promise<void> {
    const goal = rounds + 2;
    await until(async () => rounds >= goal);
  }

  const startProjector = (): unknown => running.start((signal) => makeProjector(servers).run(signal));

  async function state(jobId: string): Promise<string | undefined> {
    const { rows } = await servers.pool.query<{ state: string }>(
      `SELECT state FROM ${servers.tables.job} WHERE job_id = $1`,
      [jobId],
    );
    return rows[0]?.state;
  }

  async function reaches(jobId: string, wanted: string): Promise<void> {
    await until(async () => (await state(jobId)) === wanted);
  }

  async function statusOf(jobId: string): Promise<StatusEvent[]> {
    const events = (await servers.records(servers.topics.status)).map(({ value }) =>
      servers.codecs.status.decode(value),
    );
    return events.filter((event) => event.jobId === jobId);
  }

  async function request(jobId: string, acceptedAt: number): Promise<void> {
    const text = `INSERT INTO ${servers.tables.request} VALUES ($1, 'me', 'http://x', '{}', $2, NULL)`;
    await servers.pool.query(text, [jobId, acceptedAt]);
    const unfinished = `INSERT INTO ${servers.tables.unfinished} VALUES ($1, 'me', $2)`;
    await servers.pool.query(unfinished, [jobId, acceptedAt]);
  }

  async function put(key: string): Promise<void> {
    const writer = await store.create(key);
    await writer.write(Buffer.from('x'));
    await writer.finish();
  }

  async function keys(prefix: string): Promise<string[]> {
    const found = [];
    for await (const { key } of store.list(prefix)) found.push(key);
    return found;
  }

  it('fails a planned job without progress for too long, once, and no other', async () => {
    startProjector();
    const [idle, busy] = [jobEvents('idle', NOW - 11 * MINUTE), jobEvents('busy', NOW - 11 * MINUTE)];
    await servers.append(idle.planned(1), idle.started('0001'), busy.planned(1), {
      ...busy.progressed('0001', 0.5),
      at: NOW - 9 * MINUTE,
    });
    await reaches('busy', 'running');
    startJanitor();
    await reaches('idle', 'failed');
    await twoRounds();
    const failures = (await statusOf('idle')).filter(({ kind }) => kind === 'ExportFailed');
    assert.equal(failures.length, 1);
    assert.deepEqual(failures[0], {
      kind: 'ExportFailed',
      jobId: 'idle',
      at: NOW,
      code: 'deadline',
      message: 'There was no progress for 10 minutes.',
    });
    assert.equal(await state('busy'), 'running');
  });

  it('lets a job wait in the queue while another one moves, and fails it when none does', async () => {
    startProjector();
    const [queued, busy] = [jobEvents('queued', NOW - 11 * MINUTE), jobEvents('busy', NOW - 9 * MINUTE)];
    await servers.append(queued.planned(1), busy.planned(1));
    await reaches('busy', 'running');
    await reaches('queued', 'running');
    startJanitor();
    await twoRounds();
    assert.equal(await state('queued'), 'running');
    now += 2 * MINUTE;
    await reaches('queued', 'failed');
  });

  it('fails a job whose tasks are gone from the log, whatever other jobs do', async () => {
    startProjector();
    const lost = jobEvents('lost', NOW - 30 * MINUTE);
    const later = jobEvents('later', NOW - 12 * MINUTE);
    await servers.append(lost.planned(1), later.planned(1), {
      ...later.completed('0001'),
      at: NOW - MINUTE,
    });
    await reaches('later', 'completed');
    await reaches('lost', 'running');
    startJanitor();
    await reaches('lost', 'failed');
  });

  it('lets a request wait for its plan as long as an export may take, not longer', async () => {
    startProjector();
    await request('waiting', NOW - 23 * HOUR);
    await request('too-long', NOW - 25 * HOUR);
    startJanitor();
    await reaches('too-long', 'failed');
    assert.equal(await state('waiting'), undefined);
    now += 2 * HOUR;
    await reaches('waiting', 'failed');
  });

  it('fails a job that goes on longer than the log keeps old versions', async () => {
    startProjector();
    const make = jobEvents('long', NOW - 25 * HOUR);
    await servers.append(make.planned(1), { ...make.progressed('0001', 0.9), at: NOW });
    await reaches('long', 'running');
    startJanitor();
    await reaches('long', 'failed');
    assert.equal((await statusOf('long')).findLast(({ kind }) => kind === 'ExportFailed')?.at, NOW);
  });

  it('does not fail a job whose progress the projection has not seen yet', async () => {
    const projector = new Running();
    projector.start((signal) => makeProjector(servers).run(signal));
    const [slow, idle] = [jobEvents('slow', NOW - 11 * MINUTE), jobEvents('idle', NOW - 11 * MINUTE)];
    await servers.append(slow.planned(1), idle.planned(1));
    await reaches('slow', 'running');
    await reaches('idle', 'running');
    await projector.stop();
    await servers.append({ ...slow.progressed('0001', 0.5), at: NOW - MINUTE });
    startJanitor();
    await until(async () => (await statusOf('idle')).length === 2);
    await twoRounds();
    assert.equal((await statusOf('slow')).length, 2);
  });

  it('expires completed jobs after the retention and removes their files', async () => {
    startProjector();
    const [old, young] = [jobEvents('old', NOW - 49 * HOUR), jobEvents('young', NOW - 47 * HOUR)];
    await servers.append(
      old.planned(1),
      old.completed('0001', 'Patient'),
      young.planned(1),
      young.completed('0001', 'Patient'),
    );
    await Promise.all([reaches('old', 'completed'), reaches('young', 'completed')]);
    for (const { folder } of [old, young]) await put(`${folder}/Patient.0001-0.ndjson`);
    startJanitor();
    await reaches('old', 'expired');
    await until(async () => (await keys(`${old.folder}/`)).length === 0);
    await twoRounds();
    assert.equal(await state('young'), 'completed');
    assert.equal((await keys(`${young.folder}/`)).length, 1);
    assert.equal((await statusOf('old')).filter(({ kind }) => kind === 'ExportExpired').length, 1);
  });

  it('removes the files of a cancelled job at once, and again what a late worker writes', async () => {
    startProjector();
    startJanitor();
    const make = jobEvents('gone', NOW - MINUTE);
    await put(`${make.folder}/a.ndjson`);
    await servers.append(make.planned(1), make.cancelled());
    await until(async () => (await keys('')).length === 0);
    await put(`${make.folder}/b.ndjson`);
    const part = await store.create(`${make.folder}/c.ndjson`);
    await part.write(Buffer.from('unfinished'));
    await twoRounds();
    now += 1_500;
    await until(async () => (await keys('')).length === 0);
    // once more, since the last sweep found something
    await put(`${make.folder}/d.ndjson`);
    now += 1_500;
    await until(async () => (await keys('')).length === 0);
    await part.abort();
  });

  it('finds by its inventory what a worker wrote long after', async () => {
    startProjector();
    startJanitor();
    const make = jobEvents('gone', NOW - MINUTE);
    await servers.append(make.planned(1), make.cancelled());
    await reaches('gone', 'cancelled');
    for (let i = 0; i < 3; i++) {
      await twoRounds();
      now += 1_500;
    }
    await twoRounds();
    await put(`${make.folder}/late.ndjson`);
    now += 6_000;
    await until(async () => (await keys('')).length === 0);
  });

  it('removes folders of no job when they are a day old, and nothing that is not its own', async () => {
    const kept = [
      '20250601T110000Z_unknown',
      '20250501T000000Z_requested',
      '20250501T000000Z_running',
      'somebody-elses',
    ];
    await request('requested', NOW);
    startProjector();
    await servers.append({ ...jobEvents('running', NOW).planned(1), folder: '20250501T000000Z_running' });
    await reaches('running', 'running');
    for (const folder of [...kept, '20250501T000000Z_unknown']) {
      await put(`${folder}/x.ndjson`);
      await utimes(join(root, folder), 1, 1);
    }
    startJanitor();
    await until(async () => (await keys('20250501T000000Z_unknown/')).length === 0);
    await twoRounds();
    assert.deepEqual((await keys('')).sort(), kept.map((folder) => `${folder}/x.ndjson`).sort());
  });
});
