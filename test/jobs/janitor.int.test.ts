import assert from 'node:assert/strict';
import { mkdtemp, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { StatusEvent } from '../../src/events/status.ts';
import { AuditTrail } from '../../src/jobs/audit-trail.ts';
import { RunningReload } from '../../src/jobs/compaction-lag.ts';
import type { CompactionLags } from '../../src/jobs/compaction-lag.ts';
import { Janitor } from '../../src/jobs/janitor.ts';
import { databaseTime } from '../../src/jobs/movement.ts';
import { Outage } from '../../src/jobs/outage.ts';
import { wholeManifestOf } from '../../src/manifest/manifest.ts';
import { FsStore } from '../../src/storage/fs-store.ts';
import { jobEvents } from './events.ts';
import { jobServers, makeProjector, quiet, Running } from './job-servers.ts';
import type { JobServers } from './job-servers.ts';
import { until } from '../support/until.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

describe('janitor', () => {
  let servers: JobServers;
  let running: Running;
  let root: string;
  let store: FsStore;
  let lags: MemoryLags;
  /** By the clock of the database, when a test began. */
  let NOW: number;
  let now: number;
  let rounds: number;
  let outage: Outage;

  beforeEach(async () => {
    servers = await jobServers();
    running = new Running();
    root = await mkdtemp(join(tmpdir(), 'headwater-janitor-'));
    store = new FsStore(root);
    now = NOW = await databaseTime(servers.pool);
    rounds = 0;
    outage = new Outage();
    lags = new MemoryLags();
  });
  afterEach(async () => {
    await running.stop();
    await servers.remove();
    await rm(root, { recursive: true });
  });

  function startJanitor(compactionLagMs = 1_000 * HOUR): void {
    const janitor = new Janitor({
      ...servers,
      store,
      manifest: (job, folder) => JSON.stringify(wholeManifestOf(job, (key) => key.slice(folder.length + 1))),
      containers: [],
      codec: servers.codecs.status,
      lags,
      times: {
        compactionLagMs,
        deadlineMs: 10 * MINUTE,
        maxExportMs: 24 * HOUR,
        retentionMs: 48 * HOUR,
      },
      now: () => Promise.resolve(now),
      outage,
      audit: new AuditTrail(servers.pool, servers.tables),
      logger: quiet,
      health: { ready: () => rounds++ },
      pace: { roundMs: 10, sweepMs: 1_000, lagMs: 10, inventoryMs: 5_000 },
    });
    running.start((signal) => janitor.run(signal));
  }

  /** Two rounds that began after now. */
  async function twoRounds(): Promise<void> {
    const goal = rounds + 2;
    await until('two rounds', async () => rounds >= goal);
  }

  const text = async (key: string): Promise<string> => (await buffer(await store.read(key))).toString();

  const startProjector = (): unknown => running.start((signal) => makeProjector(servers).run(signal));

  async function state(jobId: string): Promise<string | undefined> {
    const { rows } = await servers.pool.query<{ state: string }>(
      `SELECT state FROM ${servers.tables.job} WHERE job_id = $1`,
      [jobId],
    );
    return rows[0]?.state;
  }

  async function reaches(jobId: string, wanted: string): Promise<void> {
    await until('the job to be in its state', async () => (await state(jobId)) === wanted);
  }

  /** Until the projector has stored everything that the status topic holds. */
  async function folded(): Promise<void> {
    await until('the projector to store the whole log', async () => {
      const { rows } = await servers.pool.query<{ partition: number; next: string }>(
        `SELECT partition, next FROM ${servers.tables.offset}`,
      );
      const stored = new Map(rows.map(({ partition, next }) => [partition, Number(next)]));
      return (await servers.reader.ends(servers.topics.status)).every(
        (end, partition) => end === (stored.get(partition) ?? 0),
      );
    });
  }

  async function progress(jobId: string): Promise<number | undefined> {
    const text = `SELECT fraction FROM ${servers.tables.progress} WHERE job_id = $1`;
    return (await servers.pool.query<{ fraction: number }>(text, [jobId])).rows[0]?.fraction;
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

  /** As if it had moved last at the time. */
  async function moved(jobId: string, at: number): Promise<void> {
    const text = `UPDATE ${servers.tables.movement} SET moved_at = $2 WHERE job_id = $1`;
    assert.equal((await servers.pool.query(text, [jobId, at])).rowCount, 1);
  }

  it('fails only the planned job that has no progress for too long, and only once', async () => {
    startProjector();
    const [idle, busy] = [jobEvents('idle', NOW), jobEvents('busy', NOW)];
    await servers.append(idle.planned(1), idle.started('0001'), busy.planned(1), busy.started('0001'));
    await Promise.all([reaches('idle', 'running'), reaches('busy', 'running'), folded()]);
    await moved('idle', NOW - 11 * MINUTE);
    await moved('busy', NOW - 11 * MINUTE);
    await servers.tell(busy.progressed('0001', 0.5));
    await until('the progress of the job', async () => (await progress('busy')) === 0.5);
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

  it('gives jobs two more minutes after an outage', async () => {
    startProjector();
    const idle = jobEvents('idle', NOW);
    await servers.append(idle.planned(1), idle.started('0001'));
    await Promise.all([reaches('idle', 'running'), folded()]);
    await moved('idle', NOW - 11 * MINUTE);
    outage.notice();
    startJanitor();
    await twoRounds();
    assert.equal(await state('idle'), 'running');
    now = NOW + 2 * MINUTE;
    await reaches('idle', 'failed');
  });

  for (const [which, wrong] of [
    ['behind', -11 * MINUTE],
    ['ahead', 11 * MINUTE],
  ] as const) {
    it(`times the progress of a job by the database when the clock of its worker is 11 minutes ${which}`, async () => {
      startProjector();
      const [busy, idle] = [jobEvents('busy', NOW + wrong), jobEvents('idle', NOW + wrong)];
      await servers.append(busy.planned(1), busy.started('0001'), idle.planned(1), idle.started('0001'));
      await folded();
      startJanitor();
      await twoRounds();
      assert.deepEqual([await state('busy'), await state('idle')], ['running', 'running']);
      await moved('idle', NOW - 11 * MINUTE);
      await reaches('idle', 'failed');
      assert.equal(await state('busy'), 'running');
    });
  }

  it("starts a running job's deadline again after a crash of PostgreSQL has emptied its movement", async () => {
    startProjector();
    const make = jobEvents('running', NOW);
    await servers.append(make.planned(1), make.started('0001'));
    await folded();
    await servers.pool.query(`TRUNCATE ${servers.tables.movement}`);
    startJanitor();
    await twoRounds();
    assert.equal(await state('running'), 'running');
    now += 11 * MINUTE;
    await reaches('running', 'failed');
  });

  it('lets a job wait in the queue while another one moves, and fails it when none does', async () => {
    startProjector();
    await servers.append(jobEvents('queued', NOW).planned(1), jobEvents('busy', NOW).planned(1));
    await folded();
    await moved('queued', NOW - 11 * MINUTE);
    await moved('busy', NOW - 9 * MINUTE);
    startJanitor();
    await twoRounds();
    assert.equal(await state('queued'), 'running');
    now += 2 * MINUTE;
    await reaches('queued', 'failed');
  });

  it('fails a job whose tasks are missing from the log while other jobs move', async () => {
    startProjector();
    const lost = jobEvents('lost', NOW - 30 * MINUTE);
    const later = jobEvents('later', NOW - 12 * MINUTE);
    await servers.append(lost.planned(1), later.planned(1), later.completed('0001'));
    await folded();
    await moved('lost', NOW - 30 * MINUTE);
    startJanitor();
    await reaches('lost', 'failed');
  });

  it('lets a request wait for its plan as long as an export may take, and no longer', async () => {
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
    await folded();
    startJanitor();
    await reaches('long', 'failed');
    assert.equal((await statusOf('long')).findLast(({ kind }) => kind === 'ExportFailed')?.at, NOW);
  });

  it('does not fail a job whose progress the projector has not stored yet', async () => {
    const projector = new Running();
    projector.start((signal) => makeProjector(servers).run(signal));
    const jobs = ['begun', 'slow', 'idle'] as const;
    for (const jobId of jobs) {
      const make = jobEvents(jobId, NOW);
      await servers.append(make.planned(1), make.started('0001'));
    }
    await folded();
    await projector.stop();
    for (const jobId of jobs) await moved(jobId, NOW - 11 * MINUTE);
    await servers.append(jobEvents('begun').started('0001'));
    await servers.tell(jobEvents('slow').progressed('0001', 0.5));
    startJanitor();
    await until('the failure of the idle job', async () => (await statusOf('idle')).length === 3);
    await twoRounds();
    assert.deepEqual([(await statusOf('begun')).length, (await statusOf('slow')).length], [3, 2]);
  });

  it('expires the jobs of a role with a retention of its own after that', async () => {
    startProjector();
    const [own, other] = [jobEvents('own', NOW - 3 * HOUR), jobEvents('other', NOW - 3 * HOUR)];
    await servers.pool.query(
      `INSERT INTO ${servers.tables.request} (job_id, client_id, request_url, parameters, accepted_at, retention_ms)
       VALUES ('own', 'c', 'u', '{}', $1, $2), ('other', 'c', 'u', '{}', $1, NULL)`,
      [NOW - 3 * HOUR, 2 * HOUR],
    );
    for (const one of [own, other]) await servers.append(one.planned(1), one.completed('0001', 'Patient'));
    await Promise.all([reaches('own', 'completed'), reaches('other', 'completed')]);
    startJanitor();
    await reaches('own', 'expired');
    await twoRounds();
    assert.equal(await state('other'), 'completed');
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
    await until('the files of the old job to go', async () => (await keys(`${old.folder}/`)).length === 0);
    await twoRounds();
    assert.equal(await state('young'), 'completed');
    assert.deepEqual((await keys(`${young.folder}/`)).map((key) => key.split('/')[1]).sort(), [
      'Patient.0001-0.ndjson',
      '_SUCCESS',
      'manifest.json',
    ]);
    assert.equal((await statusOf('old')).filter(({ kind }) => kind === 'ExportExpired').length, 1);
  });

  it('writes the manifest and then the marker into the folder of a completed job, also once more', async () => {
    startProjector();
    const make = jobEvents('done', NOW);
    await servers.append(make.planned(1), make.completed('0001', 'Patient', 'Claim'));
    await reaches('done', 'completed');
    startJanitor();
    const marked = (): Promise<unknown> =>
      until('the marker', async () => (await keys(`${make.folder}/`)).includes(`${make.folder}/_SUCCESS`));
    await marked();
    const manifest = await text(`${make.folder}/manifest.json`);
    const { transactionTime, output } = JSON.parse(manifest) as {
      transactionTime: string;
      output: { type: string; url: string }[];
    };
    assert.equal(transactionTime, '2025-02-19T21:20:00.123Z');
    assert.deepEqual(output.map(({ url }) => url).sort(), ['Claim.0001-1.ndjson', 'Patient.0001-0.ndjson']);
    await store.deletePrefix(`${make.folder}/`);
    await servers.pool.query(`INSERT INTO ${servers.tables.unmarked} VALUES ('done')`); // as a crash before the end does
    await marked();
    assert.equal(await text(`${make.folder}/manifest.json`), manifest);
    await twoRounds();
    assert.equal((await servers.pool.query(`SELECT FROM ${servers.tables.unmarked}`)).rowCount, 0);
  });

  it('writes no marker into the folder of a job that was cancelled meanwhile', async () => {
    startProjector();
    const make = jobEvents('late', NOW);
    await servers.append(make.planned(1), make.completed('0001', 'Patient'), make.cancelled());
    await reaches('late', 'cancelled');
    startJanitor();
    await twoRounds();
    assert.deepEqual(await keys(''), []);
    assert.equal((await servers.pool.query(`SELECT FROM ${servers.tables.unmarked}`)).rowCount, 0);
  });

  it('removes the files of a cancelled job at once, and later the files of a late worker', async () => {
    startProjector();
    startJanitor();
    const make = jobEvents('gone', NOW - MINUTE);
    await put(`${make.folder}/a.ndjson`);
    await servers.append(make.planned(1), make.cancelled());
    await until('all files to go', async () => (await keys('')).length === 0);
    await put(`${make.folder}/b.ndjson`);
    const part = await store.create(`${make.folder}/c.ndjson`);
    await part.write(Buffer.from('unfinished'));
    await twoRounds();
    now += 1_500;
    await until('all files to go', async () => (await keys('')).length === 0);
    // once more, since the last sweep found something
    await put(`${make.folder}/d.ndjson`);
    now += 1_500;
    await until('all files to go', async () => (await keys('')).length === 0);
    await part.abort();
  });

  it('finds by its inventory the files that a worker wrote long after the end', async () => {
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
    await until('all files to go', async () => (await keys('')).length === 0);
  });

  it('removes folders without a job after a day, and keeps folders with other names', async () => {
    const anHourAgo = new Date(NOW - HOUR).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    const kept = [
      `${anHourAgo}_unknown`,
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
    await until(
      'the unknown folder to go',
      async () => (await keys('20250501T000000Z_unknown/')).length === 0,
    );
    await twoRounds();
    assert.deepEqual((await keys('')).sort(), kept.map((folder) => `${folder}/x.ndjson`).sort());
  });

  describe('the versions that unfinished exports need', () => {
    const accept = (jobId: string, at: number): Promise<unknown> =>
      servers.pool.query(`INSERT INTO ${servers.tables.unfinished} VALUES ($1, 'c', $2)`, [jobId, at]);
    const failed = async (): Promise<string[]> =>
      (await servers.records(servers.topics.status)).map(({ value }) => {
        const event = servers.codecs.status.decode(value);
        return `${event.kind} ${event.jobId}`;
      });
    const someRounds = async (): Promise<void> => {
      const before = rounds;
      await until('some rounds', () => rounds > before + 3);
    };

    it('are kept for longer in time, and for the setting again when these have ended', async () => {
      await accept('old', NOW);
      startJanitor(15 * MINUTE);
      for (const minutes of [1, 4, 9]) {
        now = NOW + minutes * MINUTE;
        await someRounds();
        assert.deepEqual(lags.set, [], `after ${String(minutes)} minutes`);
      }
      while (now < NOW + 20 * HOUR) {
        const before = lags.lag;
        now = NOW + before - 4 * MINUTE; // some of the reserve is left
        await until('a longer lag', () => lags.lag > before);
        assert.ok(lags.lag > 2 * before - 10 * MINUTE, String(lags.lag / MINUTE));
      }
      assert.ok(lags.set.length < 12, String(lags.set));
      assert.deepEqual(await failed(), []);
      await servers.pool.query(`DELETE FROM ${servers.tables.unfinished}`);
      await until('the setting', () => lags.lag === 15 * MINUTE);
    });

    it('may be gone when no janitor ran: exports of that age fail first, and younger ones go on', async () => {
      await accept('lost', NOW);
      await accept('young', NOW + 10 * MINUTE);
      now = NOW + 16 * MINUTE;
      let told: Promise<string[]> | undefined;
      lags.onSet = () => void (told ??= failed());
      startJanitor(15 * MINUTE);
      await until('a longer lag', () => lags.lag > 16 * MINUTE);
      assert.deepEqual(await told, ['ExportFailed lost']);
      assert.deepEqual(new Set(await failed()), new Set(['ExportFailed lost']));
    });

    it('are kept for a reload, from its first attempt to its end', async () => {
      const reload = new RunningReload({ ...servers, lags, lagMs: 15 * MINUTE });
      await reload.began();
      await servers.pool.query(`UPDATE ${servers.tables.reload} SET since = since - $1`, [11 * MINUTE]);
      await reload.began();
      await reload.ends();
      await servers.pool.query(`UPDATE ${servers.tables.reload} SET since = since - $1`, [2 * MINUTE]);
      await assert.rejects(reload.ends(), /start a janitor/);
      startJanitor(15 * MINUTE);
      await until('a longer lag', () => lags.lag > 25 * MINUTE);
      await reload.ends();
      await reload.none();
      await until('the setting', () => lags.lag === 15 * MINUTE);
    });
  });
});

/** Topics that keep replaced versions for a time. */
class MemoryLags implements CompactionLags {
  lag = 15 * MINUTE;
  readonly set: number[] = [];
  /** Runs before the lag is set. */
  onSet: () => void = () => undefined;

  compactionLag(): Promise<{ least: number; most: number }> {
    return Promise.resolve({ least: this.lag, most: this.lag });
  }

  setCompactionLag(ms: number): Promise<void> {
    this.onSet();
    this.set.push(ms);
    this.lag = ms;
    return Promise.resolve();
  }
}
