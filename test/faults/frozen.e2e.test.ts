import assert from 'node:assert/strict';
import type { Role } from '../../src/config/roles.ts';
import { kickOff } from '../../src/client/export-client.ts';
import { freePort } from '../../src/stack/ports.ts';
import { sharedStack } from '../support/stack.ts';
import { Deployment } from './deployment.ts';
import {
  applied,
  assertChanges,
  assertLines,
  assertSnapshot,
  download,
  exportNow,
  submit,
} from './exported.ts';
import type { Exported } from './exported.ts';
import { announced, assertAnnouncedOnce, jobOf, projection, rebuild } from './job-log.ts';
import type { RoleProcess } from './role-process.ts';
import { SourceWriter } from './source-writer.ts';
import { until } from '../support/until.ts';

/** The lease is 15 s. On a slow machine the next leader needs more time. */
const TAKEN_OVER = 60_000;

describe('a process that is frozen', function () {
  this.timeout(240_000);
  let headwater: Deployment;
  let writer: SourceWriter;
  let capture: RoleProcess;
  let projector: RoleProcess;
  let gateway: RoleProcess;
  const jobs = new Map<string, number>();

  before(async () => {
    headwater = await Deployment.create(sharedStack());
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Patient', 'p', 20);
    gateway = headwater.start(['gateway']);
    headwater.start(['planner', 'worker', 'janitor']);
    capture = headwater.start(['capture']);
    projector = headwater.start(['projector']);
    await ended(await submit({ server: headwater.server }));
  });

  afterEach(() => writer.pause());

  after(async () => {
    await writer?.close();
    await headwater?.remove();
  });

  it('is replaced if it is the leading capture, and nothing is lost or repeated when it wakes', async () => {
    const { server } = headwater;
    const zombie = capture;
    capture = await standby('capture');
    const first = await ended(await submit({ server }));
    const from = assertSnapshot(first, writer.history);
    writer.run();
    zombie.freeze();
    const frozen = await timed('capture', submit({ server, since: first.transactionTime }).then(ended));
    const between = assertChanges(frozen, writer.history, from);
    zombie.thaw();
    await standsByOrEnds(zombie, /another capture leads/);
    const after = await ended(await submit({ server, since: frozen.transactionTime }));
    const at = assertChanges(after, writer.history, between);
    assert.ok(at > from, 'it went on');
    await writer.pause();
    const last = await ended(await submit({ server, since: after.transactionTime }));
    assertChanges(last, writer.history, at);
    const client = [frozen, after, last].reduce(applied, first.output);
    assertLines(client, writer.history.stateAfter(writer.history.length), 'all exports together');
    await zombie.end();
  });

  it('is replaced if it is the leading projector, and announces nothing twice when it wakes', async () => {
    const zombie = projector;
    projector = await standby('projector');
    zombie.freeze();
    await timed('projector', submit({ server: headwater.server }).then(ended));
    zombie.thaw();
    await standsByOrEnds(zombie, /another projector leads/);
    await ended(await submit({ server: headwater.server }));
    const before = await projection(headwater);
    rebuild(headwater);
    assert.equal(await projection(headwater), before);
    const events = await until('the announcements', async () => {
      const told = await announced(headwater);
      return [...jobs.keys()].every((job) => told.get(job)?.at(-1) === 'completed') && told;
    });
    for (const [job, files] of jobs) assertAnnouncedOnce(events.get(job), files);
    await zombie.end();
  });

  it('blocks no other gateway if it freezes inside kick-offs, and its sessions stay few', async () => {
    const port = String(await freePort());
    headwater.start(['gateway'], { HEADWATER_HTTP_PORT: port });
    const server = `http://127.0.0.1:${port}/fhir`;
    await until('readiness', async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok);
    for (let round = 0; round < 5; round++) {
      const asked = Array.from({ length: 10 }, () =>
        kickOff({ server: headwater.server, types: ['Patient'] }, AbortSignal.timeout(60_000)).catch(
          () => undefined,
        ),
      );
      await new Promise((resolve) => setTimeout(resolve, round * 7));
      gateway.freeze();
      const before = await sessions();
      const others = await Promise.all(
        Array.from({ length: 10 }, () => submit({ server, types: ['Patient'] })),
      );
      for (const statusUrl of others.slice(0, 2)) await download(statusUrl);
      assert.ok((await sessions()) <= before + 10, 'only the pool of the other gateway grows');
      const [row] = await headwater.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'
           AND xact_start < now() - interval '5 s'`,
      );
      assert.equal(row?.n, 0, 'no transaction is left open');
      gateway.thaw();
      for (const statusUrl of await Promise.all(asked))
        if (statusUrl !== undefined) await download(statusUrl);
    }
    await exportNow({ server: headwater.server, types: ['Patient'] });
  });

  async function ended(statusUrl: string): Promise<Exported> {
    const exported = await download(statusUrl);
    jobs.set(jobOf(statusUrl), exported.sums.size);
    return exported;
  }

  async function standby(role: Extract<Role, 'capture' | 'projector'>): Promise<RoleProcess> {
    const started = headwater.start([role]);
    await started.logged(new RegExp(`another ${role} leads`));
    return started;
  }

  async function timed<T>(what: string, work: Promise<T>): Promise<T> {
    const begin = performance.now();
    const result = await work;
    const took = performance.now() - begin;
    console.log(`      an export after ${what} was frozen: ${(took / 1000).toFixed(1)} s`);
    assert.ok(took < TAKEN_OVER);
    return result;
  }

  async function standsByOrEnds(zombie: RoleProcess, line: RegExp): Promise<void> {
    await until(
      'the one that woke to stand by or end',
      () => !zombie.running || zombie.lines.some((l) => line.test(l)),
    );
  }

  async function sessions(): Promise<number> {
    const [row] = await headwater.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database()',
    );
    return row?.n ?? 0;
  }
});
