import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Component } from '../../src/stack/contract.ts';
import type { Stack } from '../../src/stack/stack.ts';
import { privateStack } from '../support/stack.ts';
import { Deployment } from './deployment.ts';
import { assertChanges, assertSnapshot, download, exportNow, submit } from './exported.ts';
import { assertSettled, jobOf } from './job-log.ts';
import type { RoleProcess } from './role-process.ts';
import { rounds } from './rounds.ts';
import { SourceWriter } from './source-writer.ts';
import { until } from '../support/until.ts';

/** Types of the exports during a restart. */
const SMALL = ['Patient', 'Basic'];
const PAUSE = 100;
const MAX_KICK_OFFS = 20;

const FAULTS: readonly (readonly [Component, 'term' | 'kill'])[] = [
  ['kafka', 'term'],
  ['kafka', 'kill'],
  ['postgres', 'term'],
  ['postgres', 'kill'],
  ['registry', 'kill'],
];

describe('restarting the servers under running exports and writes', function () {
  this.timeout(240_000);
  let stack: Stack;
  let headwater: Deployment;
  let roles: RoleProcess;
  let writer: SourceWriter;
  const jobs = new Map<string, number>();

  before(async () => {
    stack = await privateStack();
    headwater = await Deployment.create(stack.addresses, { HEADWATER_FILE_BYTES: '1MiB' });
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Observation', 'big-', 10_000);
    roles = headwater.start();
    await headwater.ready();
  });

  afterEach(async () => {
    await writer.pause();
    assert.ok(roles.running, `it ended: ${roles.lines.slice(-5).join('\n')}`);
  });

  after(async () => {
    await writer?.close();
    await headwater?.remove();
    await stack?.stop();
  });

  for (const [component, how] of FAULTS) {
    it(`loses and repeats nothing when ${component} restarts (${how})`, async () => {
      const { server } = headwater;
      for (let round = 0; round < rounds(1); round++) {
        const base = await exportNow({ server });
        jobs.set(jobOf(base.statusUrl), base.sums.size);
        const from = assertSnapshot(base, writer.history);
        writer.run();
        const full = [await submit({ server })];
        const since = [await submit({ server, since: base.transactionTime })];
        const small: string[] = [];
        const answers = await during(stack.restart(component, how), () => kickOffOnce(server));
        // Every kick-off that got a 202 must complete. Any other answer must be a 503 that left no job.
        for (const { status, location } of answers) {
          if (status === 202 && location !== null) small.push(location);
          else assert.equal(status, 503);
        }
        if (component === 'postgres')
          assert.ok(
            answers.some(({ status }) => status === 503),
            'the database was away',
          );
        since.push(await submit({ server, since: base.transactionTime }));
        for (const url of full) {
          const exported = await download(url);
          assertSnapshot(exported, writer.history);
          jobs.set(jobOf(url), exported.sums.size);
        }
        for (const url of small) {
          const exported = await download(url);
          assertSnapshot(exported, writer.history, SMALL);
          jobs.set(jobOf(url), exported.sums.size);
        }
        for (const url of since) {
          const exported = await download(url);
          assertChanges(exported, writer.history, from);
          jobs.set(jobOf(url), exported.sums.size);
        }
        await writer.pause();
        const last = await exportNow({ server });
        assert.equal(assertSnapshot(last, writer.history), writer.history.length);
        jobs.set(jobOf(last.statusUrl), last.sums.size);
      }
      await until('everything to be ready again', () => headwater.ready().then(() => true));
    });
  }

  it('completes every request, leaves tables that equal a rebuild, and announces every event once', () =>
    assertSettled(headwater, jobs));
});

interface Answer {
  readonly status: number;
  readonly location: string | null;
}

async function kickOffOnce(server: string): Promise<Answer> {
  const headers = { accept: 'application/fhir+json', prefer: 'respond-async' };
  const response = await fetch(`${server}/$export?_type=${SMALL.join()}`, { headers });
  await response.body?.cancel();
  return { status: response.status, location: response.headers.get('content-location') };
}

/** Repeats a call, with a pause, until the work is done. */
async function during<T>(work: Promise<void>, again: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  const over = new AbortController();
  const ended = work.finally(() => over.abort());
  ended.catch(() => undefined);
  while (!over.signal.aborted && results.length < MAX_KICK_OFFS) {
    results.push(await again());
    await delay(PAUSE, undefined, { signal: over.signal }).catch(() => undefined);
  }
  await ended;
  return results;
}
