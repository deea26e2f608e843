import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Role } from '../../src/config/roles.ts';
import { freePort } from '../../src/stack/ports.ts';
import { Random } from '../e2e/random.ts';
import { BROKER_IDS } from '../support/broker-properties.ts';
import { Brokers } from '../support/brokers.ts';
import { sharedStack } from '../support/stack.ts';
import { BROKER_FAULTS, play } from './broker-faults.ts';
import type { BrokerFault } from './broker-faults.ts';
import { Deployment } from './deployment.ts';
import { applied, assertChanges, assertLines, assertSnapshot, download, submit } from './exported.ts';
import type { Exported } from './exported.ts';
import { assertSettled, jobOf } from './job-log.ts';
import type { RoleProcess } from './role-process.ts';
import { rounds } from './rounds.ts';
import { SourceWriter } from './source-writer.ts';

const SEED = Number(process.env['HEADWATER_TEST_BROKERS_SEED'] ?? randomInt(2 ** 30));
const BIG = 3_000;
const SMALL = ['Patient', 'Basic'];
/** Maximum number of exports during one fault, and ms between them. */
const MAX_EXPORTS = 12;
const PAUSE = 300;

/** Two workers, so that one can take over the tasks of the other if its broker does not answer. */
const PROCESSES: readonly (readonly Role[])[] = [
  ['gateway', 'projector', 'janitor'],
  ['capture'],
  ['planner', 'worker'],
  ['planner', 'worker'],
];

describe(`brokers of a cluster under running exports and writes, with HEADWATER_TEST_BROKERS_SEED=${SEED}`, function () {
  this.timeout(600_000);
  const random = new Random(SEED);
  const jobs = new Map<string, number>();
  const faults = new Map<BrokerFault, number>();
  const processes: { readonly process: RoleProcess; readonly probes: string }[] = [];
  let brokers: Brokers;
  let headwater: Deployment;
  let writer: SourceWriter;

  before(async () => {
    brokers = await Brokers.start();
    headwater = await Deployment.create(
      { ...sharedStack(), kafkaBrokers: brokers.addresses },
      { HEADWATER_REPLICATION_FACTOR: '3', HEADWATER_FILE_BYTES: '1MiB', HEADWATER_TASK_BYTES: '2MiB' },
    );
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Observation', 'big-', BIG);
    for (const roles of PROCESSES) processes.push(await start(roles));
    await headwater.ready();
  });

  afterEach(async () => {
    await writer.pause();
    await alive();
  });

  after(async () => {
    const counts = [...faults].map(([fault, count]) => `${count} × ${fault}`);
    console.log(`    ${jobs.size} exports of ${writer?.history.length} transactions: ${counts.join(', ')}`);
    await writer?.close();
    await headwater?.remove();
    await brokers?.stop();
  });

  for (const fault of shuffled(Array.from({ length: rounds(1) }, () => BROKER_FAULTS).flat())) {
    it(`loses and repeats nothing when ${fault}`, async () => {
      const { server } = headwater;
      const base = await ended(await submit({ server }));
      const from = assertSnapshot(base, writer.history);
      writer.run();
      const full = await submit({ server });
      const since = await submit({ server, since: base.transactionTime });
      faults.set(fault, (faults.get(fault) ?? 0) + 1);
      await exportsDuring(play(fault, { brokers, random, prefix: headwater.settings.topicPrefix }));
      assertSnapshot(await ended(full), writer.history);
      assertChanges(await ended(since), writer.history, from);
      const last = await ended(await submit({ server, since: base.transactionTime }));
      assertChanges(last, writer.history, from);
      await writer.pause();
      const rest = await ended(await submit({ server, since: last.transactionTime }));
      const all = applied(applied(base.output, last), rest);
      assertLines(all, writer.history.stateAfter(writer.history.length), 'all exports together');
    });
  }

  it('completes every request, leaves tables that equal a rebuild, and announces every event once', () =>
    assertSettled(headwater, jobs));

  it('ends its processes within 10 s of SIGTERM while a broker is frozen', async () => {
    const id = random.pick(BROKER_IDS);
    brokers.freeze(id);
    const codes = await Promise.allSettled(processes.splice(0).map(({ process }) => process.terminate()));
    brokers.thaw(id);
    assert.deepEqual(
      codes,
      PROCESSES.map(() => ({ status: 'fulfilled', value: 0 })),
    );
  });

  async function start(roles: readonly Role[]): Promise<(typeof processes)[0]> {
    const port = await freePort();
    const process = headwater.start(roles, { HEADWATER_PROBE_PORT: String(port) });
    const probes = roles.includes('gateway') ? headwater.settings.publicUrl : `http://127.0.0.1:${port}`;
    return { process, probes };
  }

  /** Every process runs and answers. */
  async function alive(): Promise<void> {
    for (const { process, probes } of processes) {
      assert.ok(process.running, `it ended: ${process.lines.slice(-5).join('\n')}`);
      assert.equal((await fetch(`${probes}/healthz`, { signal: AbortSignal.timeout(10_000) })).status, 200);
    }
  }

  async function ended(statusUrl: string): Promise<Exported> {
    const exported = await download(statusUrl);
    jobs.set(jobOf(statusUrl), exported.sums.size);
    return exported;
  }

  /** Kicks off small exports, one after the other, until the fault is over. Resolves when all are checked. */
  async function exportsDuring(fault: Promise<void>): Promise<void> {
    let going = true;
    const over = fault.finally(() => (going = false));
    over.catch(() => undefined); // it is awaited below
    const checks: Promise<unknown>[] = [];
    while (going && checks.length < MAX_EXPORTS) {
      const url = await submit({ server: headwater.server, types: SMALL });
      const check = ended(url).then((exported) => assertSnapshot(exported, writer.history, SMALL));
      checks.push(check);
      await Promise.allSettled([Promise.race([check, over]), delay(PAUSE)]);
    }
    await over;
    await Promise.all(checks);
  }

  function shuffled<T>(list: readonly T[]): T[] {
    return list
      .map((one) => ({ one, at: random.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ one }) => one);
  }
});
