import assert from 'node:assert/strict';
import { once } from 'node:events';
import { EndedJobs } from '../../src/jobs/ended-jobs.ts';
import { MAX_STARTS } from '../../src/jobs/fold.ts';
import { jobEvents } from './events.ts';
import { jobServers, Running } from './job-servers.ts';
import type { JobServers } from './job-servers.ts';
import { until } from '../support/until.ts';

describe('ended jobs', () => {
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

  async function start(given: { maxJobs?: number; now?: number } = {}): Promise<EndedJobs> {
    const { maxJobs, now = Date.now() } = given;
    const ended = new EndedJobs({
      reader: servers.reader,
      statusTopic: servers.topics.status,
      codec: servers.codecs.status,
      onUnreadable: servers.onUnreadable,
      clock: () => now,
      maxExportMs: 3_600_000,
      ...(maxJobs !== undefined && { maxJobs }),
    });
    running.start((signal) => ended.run(signal));
    await ended.ready;
    return ended;
  }

  it('knows after its start which jobs ended before it', async () => {
    const [a, b, c] = ['a', 'b', 'c'].map((id) => jobEvents(id, Date.now()));
    assert.ok(a && b && c);
    await servers.append(a.planned(1), a.cancelled(), b.planned(1), b.completed('0001', 'Patient'));
    await servers.append(c.planned(1, 1), c.completed('0001'));
    const ended = await start();
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((id) => ended.isEnded(id)),
      [true, false, false, false],
    );
    assert.equal(ended.isTaskDone('b', '0001'), true);
    assert.equal(ended.isTaskDone('c', '0001'), true);
    assert.equal(ended.isTaskDone('c', '0002'), false);
    assert.equal(ended.signalFor('a').aborted, true);
  });

  it('reports an end as soon as the log has it, also of a job whose task was started too often', async () => {
    const ended = await start();
    const [a, b] = [jobEvents('a', Date.now()), jobEvents('b', Date.now())];
    const signals = [ended.signalFor('a'), ended.signalFor('b')];
    const fired = Promise.all(signals.map((signal) => once(signal, 'abort')));
    await servers.append(a.planned(1), b.planned(1), a.failed());
    await servers.append(...Array.from({ length: MAX_STARTS + 1 }, () => b.started('0001')));
    await fired;
    assert.deepEqual([ended.isEnded('a'), ended.isEnded('b')], [true, true]);
  });

  it('continues after an unreadable record, at its start and later', async () => {
    const [a, b] = [jobEvents('a', Date.now()), jobEvents('b', Date.now())];
    await servers.appendGarbage('a');
    await servers.append(a.planned(1), a.cancelled());
    const ended = await start();
    assert.equal(ended.isEnded('a'), true);
    await servers.appendGarbage('b');
    await servers.append(b.planned(1), b.cancelled());
    await until('the job to be known as ended', async () => ended.isEnded('b'));
    assert.equal(servers.unreadable.length, 2);
  });

  it('does not stop the work of a job that completes', async () => {
    const ended = await start();
    const signal = ended.signalFor('a');
    const a = jobEvents('a', Date.now());
    await servers.append(a.planned(1), a.completed('0001'));
    await until('the task to be known as done', async () => ended.isTaskDone('a', '0001'));
    assert.equal(signal.aborted, false);
  });

  it('forgets the oldest jobs beyond its maximum', async () => {
    const ended = await start({ maxJobs: 3 });
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      const make = jobEvents(id, Date.now());
      await servers.append(make.planned(1), make.cancelled());
      await until('the job to be known as ended', async () => ended.isEnded(id));
    }
    assert.deepEqual(
      ['a', 'b', 'c', 'd', 'e'].map((id) => ended.isEnded(id)),
      [false, false, true, true, true],
    );
  });
});
