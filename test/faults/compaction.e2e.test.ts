import assert from 'node:assert/strict';
import { offset } from '../../src/base/positions.ts';
import { freePort } from '../../src/stack/ports.ts';
import { sharedStack } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { Deployment } from './deployment.ts';
import { assertSnapshot, download, exportNow, submit } from './exported.ts';
import { Fleet } from './fleet.ts';
import { jobOf } from './job-log.ts';
import { SourceWriter } from './source-writer.ts';

const LAG_MS = 18_000;
/** Longer than the lag: without a longer one, the cleaner would take the versions of the cut. */
const LONG_MS = 2.2 * LAG_MS;

describe('an export that takes longer than the log keeps replaced versions', function () {
  this.timeout(240_000);
  let headwater: Deployment;
  let writer: SourceWriter;
  let fleet: Fleet;

  before(async () => {
    headwater = await Deployment.create(sharedStack(), {
      HEADWATER_COMPACTION_LAG: String(LAG_MS / 60_000),
    });
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Patient', 'p', 200);
    fleet = new Fleet(headwater);
    fleet.start();
    assertSnapshot(await exportNow({ server: headwater.server }), writer.history);
  });
  after(async () => {
    await writer?.close();
    await headwater?.remove();
  });

  /** The records of Patient that the log still has, of those whose offsets were given out. */
  async function kept(): Promise<{ readonly records: number; readonly written: number }> {
    const { reader, names } = headwater.log;
    const topic = names.resource('Patient');
    let [records, written] = [0, 0];
    for (const [partition, to] of (await reader.ends(topic)).entries()) {
      written += to;
      for await (const batch of reader.read(
        { topic, partition, from: offset(0), to },
        AbortSignal.timeout(60_000),
      ))
        records += batch.length;
    }
    return { records, written };
  }

  /** Replaces every Patient again and again. */
  async function replaceFor(ms: number): Promise<void> {
    const end = performance.now() + ms;
    while (performance.now() < end) {
      await writer.bulk('Patient', 'p', 200);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  async function planned(statusUrl: string): Promise<void> {
    await until('the plan', async () => {
      const { job } = headwater.tables;
      return (await headwater.query(`SELECT FROM ${job} WHERE job_id = $1`, [jobOf(statusUrl)])).length === 1;
    });
  }

  it('has every version of its cut, since the janitor lets the log keep them for longer', async () => {
    await fleet.kill('worker');
    const statusUrl = await submit({ server: headwater.server });
    const asked = writer.history.length;
    await planned(statusUrl);
    await replaceFor(LONG_MS);
    fleet.start('worker');
    assert.equal(assertSnapshot(await download(statusUrl), writer.history), asked);
  });

  it('costs no more than others afterwards: the cleaner takes what is replaced', async () => {
    await until(
      'the cleaner',
      async () => {
        await writer.bulk('Patient', 'p', 200); // rolls segments
        const { records, written } = await kept();
        return records < written / 2;
      },
      { timeoutMs: 120_000, everyMs: 2_000 },
    );
    assertSnapshot(await exportNow({ server: headwater.server }), writer.history);
  });

  it('never completes with a version missing when no janitor runs: it waits for one, which fails it', async () => {
    await until(
      'the lag of the setting',
      async () => (await headwater.log.admin.compactionLag())?.most === LAG_MS,
    );
    await fleet.kill('worker', 'janitor');
    const statusUrl = await submit({ server: headwater.server });
    await planned(statusUrl);
    await replaceFor(LONG_MS);
    const probes = String(await freePort());
    headwater.start(['worker'], { HEADWATER_PROBE_PORT: probes });
    await until('the worker to wait', async () => {
      const answer = await fetch(`http://127.0.0.1:${probes}/readyz`).catch(() => undefined);
      return (await answer?.text())?.includes('start a janitor');
    });
    assert.equal((await fetch(statusUrl)).status, 202);
    fleet.start('janitor');
    const answer = await until('the end', async () => {
      const response = await fetch(statusUrl);
      return response.status === 202 ? undefined : response;
    });
    assert.equal(answer.status, 500);
    assert.match(await answer.text(), /no longer holds what this export needs/);
    assertSnapshot(await exportNow({ server: headwater.server }), writer.history);
  });
});
