import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sharedStack } from '../support/stack.ts';
import { Deployment } from './deployment.ts';
import { assertChanges, assertSnapshot, download, manifestOf, submit } from './exported.ts';
import type { Exported } from './exported.ts';
import { Fleet } from './fleet.ts';
import { announced, assertAnnouncedOnce, jobOf, projection, rebuild } from './job-log.ts';
import { kills } from './role-process.ts';
import { rounds } from './rounds.ts';
import { SourceWriter } from './source-writer.ts';
import { until } from '../support/until.ts';

const BIG = 20_000;

describe('killing the other roles', function () {
  this.timeout(240_000);
  let headwater: Deployment;
  let writer: SourceWriter;
  let fleet: Fleet;
  /** Every export of these tests, with its number of files. */
  const jobs = new Map<string, number>();
  /** What killed attempts left goes with the job's folder; until then it is no sign of anybody's work. */
  const left = new Set<string>();

  before(async () => {
    headwater = await Deployment.create(sharedStack(), {
      HEADWATER_RESOURCE_PARTITIONS: '4',
      HEADWATER_FILE_BYTES: '1MiB',
      HEADWATER_TASK_BYTES: '4MiB',
    });
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Observation', 'big-', BIG);
    fleet = new Fleet(headwater);
    fleet.start();
  });

  afterEach(() => writer.pause());

  after(async () => {
    await writer.close();
    await headwater.remove();
    console.log(`    ${kills()} processes killed so far`);
  });

  const inTask = rounds(2);
  it(`gives the same bytes after ${inTask} kills inside a task, and when a replaced worker wakes up`, async () => {
    const { server } = headwater;
    const undisturbed = await ended(await submit({ server }));
    assertSnapshot(undisturbed, writer.history);
    const statusUrl = await submit({ server });
    for (let i = 0; i < inTask; i++) {
      const share = ((i + Math.random()) / (inTask + 1)) * 0.9;
      await insideTask(statusUrl, share * undisturbed.sums.size);
      await fleet.kill('worker');
      for (const name of (await filesOf(statusUrl)).halfWritten) left.add(name);
      fleet.start('worker');
    }
    const zombie = fleet.process('worker');
    let halfWritten: readonly string[] = [];
    // A worker may finish its file before the signal arrives.
    for (;;) {
      await insideTask(statusUrl, 0.6 * undisturbed.sums.size);
      zombie.freeze();
      ({ halfWritten } = await filesOf(statusUrl));
      if (halfWritten.length > 0) break;
      zombie.thaw();
    }
    fleet.start('worker');
    assert.deepEqual((await ended(statusUrl)).sums, undisturbed.sums);
    zombie.thaw();
    await until('the zombie to give up or finish', async () => {
      const now = (await filesOf(statusUrl)).halfWritten;
      return !halfWritten.some((name) => now.includes(name));
    });
    assert.deepEqual((await download(statusUrl)).sums, undisturbed.sums);
    await zombie.kill();
  });

  const projectorKills = rounds(3);
  const plannerKills = rounds(1);
  it(`ends every job: the planner killed ${plannerKills} times, the projector ${projectorKills} times`, async () => {
    const { server } = headwater;
    writer.run();
    const urls: string[] = [];
    for (let i = 0; i < plannerKills; i++) {
      urls.push(await submit({ server, types: ['Patient', 'Basic'] }));
      await fleet.kill('planner');
      urls.push(await submit({ server, types: ['Encounter', 'Basic'] }));
      fleet.start('planner');
      await manifestOf(urls.at(-1) ?? '');
    }
    for (let i = 0; i < projectorKills; i++) {
      urls.push(await submit({ server }));
      const seen = await statusEvents();
      const more = Math.ceil(Math.random() * 10);
      await until('some more events', async () => (await statusEvents()) >= seen + more, { everyMs: 1 });
      await fleet.kill('projector');
      fleet.start('projector');
    }
    await writer.pause();
    for (const url of urls) await ended(url);
  });

  const togetherKills = rounds(2);
  it(`ends every job: everything killed at once ${togetherKills} times`, async () => {
    const { server } = headwater;
    const base = await ended(await submit({ server }));
    const from = assertSnapshot(base, writer.history);
    writer.run();
    const full: string[] = [];
    const since: string[] = [];
    for (let i = 0; i < togetherKills; i++) {
      full.push(await submit({ server }));
      since.push(await submit({ server, since: base.transactionTime }));
      if (i % 2 === 1) await insideTask(full.at(-1) ?? '', Math.random() * 10);
      await fleet.kill();
      fleet.start();
    }
    await writer.pause();
    for (const url of full) assertSnapshot(await ended(url), writer.history);
    for (const url of since) assertChanges(await ended(url), writer.history, from);
  });

  it('leaves tables that equal a rebuild, and announces every event once', async () => {
    const before = await projection(headwater);
    rebuild(headwater);
    assert.equal(await projection(headwater), before);
    const known = await headwater.query<{ id: string }>(
      `SELECT job_id AS id FROM ${headwater.tables.request}`,
    );
    assert.deepEqual(new Set(known.map(({ id }) => id)), new Set(jobs.keys()), 'no request was lost');
    const events = await announced(headwater);
    for (const [job, files] of jobs) assertAnnouncedOnce(events.get(job), files);
  });

  async function ended(statusUrl: string): Promise<Exported> {
    const exported = await download(statusUrl);
    jobs.set(jobOf(statusUrl), exported.sums.size);
    return exported;
  }

  /** Waits until a worker is in the middle of a task, and has written some files of the job. */
  async function insideTask(statusUrl: string, files: number): Promise<void> {
    await until(
      'a file half written',
      async () => {
        const { halfWritten, written } = await filesOf(statusUrl);
        return halfWritten.length > 0 && written >= files;
      },
      { everyMs: 1 },
    );
  }

  async function filesOf(statusUrl: string): Promise<{ halfWritten: string[]; written: number }> {
    const folder = (await readdir(headwater.folder)).find((name) => name.endsWith(jobOf(statusUrl)));
    const names = folder === undefined ? [] : await readdir(join(headwater.folder, folder));
    const hidden = names.filter((name) => name.startsWith('.'));
    return { halfWritten: hidden.filter((name) => !left.has(name)), written: names.length - hidden.length };
  }

  function statusEvents(): Promise<number> {
    return headwater.writtenTo(headwater.log.names.status);
  }
});
