import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { sharedStack } from '../support/stack.ts';
import { Deployment } from './deployment.ts';
import { assertSnapshot, exportNow, submit } from './exported.ts';
import { Fleet } from './fleet.ts';
import { announced, jobOf } from './job-log.ts';
import { SourceWriter } from './source-writer.ts';
import { until } from '../support/until.ts';

describe('an export that does not come to its end', function () {
  this.timeout(240_000);
  let headwater: Deployment;
  let writer: SourceWriter;
  let fleet: Fleet;

  before(async () => {
    headwater = await Deployment.create(sharedStack(), {
      HEADWATER_FILE_BYTES: '1MiB',
    });
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Observation', 'big-', 30_000);
    await writer.bulk('Patient', 'p', 10);
    fleet = new Fleet(headwater);
    fleet.start();
    assertSnapshot(
      await exportNow({ server: headwater.server, types: ['Patient', 'Basic'] }),
      writer.history,
      ['Patient', 'Basic'],
    );
  });

  after(async () => {
    await writer?.close();
    await headwater?.remove();
  });

  it('is gone for its client at once when cancelled in the middle, then its files and work', async () => {
    const statusUrl = await submit({ server: headwater.server });
    await until('some files', async () => (await filesOf(statusUrl)).length > 3, { everyMs: 1 });
    await cancelled(statusUrl);
    await next();
    await until('its files to be gone', async () => (await foldersOf(statusUrl)).length === 0);
    const tasks = await headwater.query(`SELECT FROM ${headwater.tables.task} WHERE job_id = $1`, [
      jobOf(statusUrl),
    ]);
    assert.ok(completedTasks(statusUrl).length < tasks.length, 'its work was stopped');
    assert.deepEqual(
      (await events(statusUrl)).filter((event) => !event.startsWith('file-ready')),
      ['accepted', 'started', 'cancelled'],
    );
  });

  it('leaves nothing when it is cancelled before its plan', async () => {
    await fleet.kill('planner');
    const statusUrl = await submit({ server: headwater.server });
    await cancelled(statusUrl);
    fleet.start('planner');
    await until('the end to be announced', async () => (await events(statusUrl)).includes('cancelled'));
    await next();
    await until('what was begun to be gone', async () => (await foldersOf(statusUrl)).length === 0);
    assert.deepEqual(
      (await events(statusUrl)).filter((event) => event === 'completed' || event.startsWith('file-ready')),
      [],
    );
    assert.equal((await events(statusUrl)).filter((event) => event === 'cancelled').length, 1);
  });

  it('fails by its deadline without a worker, and its client gets the reason', async () => {
    await fleet.kill('worker', 'janitor');
    const strict = headwater.start(['janitor'], { HEADWATER_JOB_DEADLINE: '0.1' });
    const statusUrl = await submit({ server: headwater.server });
    const answer = await until('the deadline', async () => {
      const response = await fetch(statusUrl);
      return response.status === 202 ? undefined : response;
    });
    assert.equal(answer.status, 500);
    const outcome = (await answer.json()) as { resourceType: string; issue: { diagnostics: string }[] };
    assert.equal(outcome.resourceType, 'OperationOutcome');
    assert.match(outcome.issue[0]?.diagnostics ?? '', /no progress/);
    await strict.kill();
    fleet.start('worker', 'janitor');
    await next();
    assert.deepEqual(await foldersOf(statusUrl), [], 'its tasks were not run after all');
    assert.deepEqual((await events(statusUrl)).toSorted(), ['accepted', 'failed']);
  });

  /** Exports go on as if nothing had been. */
  async function next(): Promise<void> {
    const types = ['Patient', 'Basic'];
    const exported = await exportNow({ server: headwater.server, types });
    assert.equal(assertSnapshot(exported, writer.history, types), writer.history.length);
  }

  async function cancelled(statusUrl: string): Promise<void> {
    const answer = await fetch(statusUrl, { method: 'DELETE' });
    assert.equal(answer.status, 202);
    assert.equal((await fetch(statusUrl)).status, 404);
    assert.equal((await fetch(statusUrl, { method: 'DELETE' })).status, 404);
  }

  async function events(statusUrl: string): Promise<string[]> {
    return (await announced(headwater)).get(jobOf(statusUrl)) ?? [];
  }

  function completedTasks(statusUrl: string): string[] {
    const { lines } = fleet.process('worker');
    return lines.filter((line) => line.includes('task completed') && line.includes(jobOf(statusUrl)));
  }

  async function foldersOf(statusUrl: string): Promise<string[]> {
    return (await readdir(headwater.folder)).filter((name) => name.endsWith(jobOf(statusUrl)));
  }

  async function filesOf(statusUrl: string): Promise<string[]> {
    const [folder] = await foldersOf(statusUrl);
    return folder === undefined ? [] : readdir(`${headwater.folder}/${folder}`);
  }
});
