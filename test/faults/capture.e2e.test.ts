import assert from 'node:assert/strict';
import { sharedStack } from '../support/stack.ts';
import { Deployment, OTHERS } from './deployment.ts';
import { applied, assertChanges, assertLines, assertSnapshot, exportNow } from './exported.ts';
import { kills } from './role-process.ts';
import { rounds } from './rounds.ts';
import { SourceWriter } from './source-writer.ts';
import { until } from '../support/until.ts';

/** 116 MB: several flushes, and more than one Kafka transaction. */
const BIG = 40_000;

describe('killing capture', function () {
  this.timeout(240_000);
  let headwater: Deployment;
  let writer: SourceWriter;

  beforeEach(async () => {
    headwater = await Deployment.create(sharedStack());
    writer = await SourceWriter.create(headwater.databaseUrl);
  });

  afterEach(async () => {
    await writer.close();
    await headwater.remove();
  });

  after(() => console.log(`    ${kills()} processes killed so far`));

  const inTransaction = rounds(3);
  const atRandom = rounds(4);
  it(`loses nothing over ${inTransaction} kills in a large transaction and ${atRandom} in small ones`, async () => {
    const { server, log } = headwater;
    await writer.commit(new Map([['Patient/first', 'put']]));
    let capture = headwater.start(['capture']);
    headwater.start(OTHERS);
    let before = await exportNow({ server });
    let at = assertSnapshot(before, writer.history);

    const observations = log.names.resource('Observation');
    const written = await headwater.writtenTo(observations);
    await writer.bulk('Observation', 'big-', BIG);
    for (let i = 0; i < inTransaction; i++) {
      const start = await headwater.writtenTo(observations);
      // After the first flush, capture is inside the transaction. A later flush belongs to its second Kafka transaction.
      const inside = Math.max(1, Math.random() * 0.8 * BIG);
      await until(
        'the transaction to be half in the log',
        async () => (await headwater.writtenTo(observations)) >= start + inside,
      );
      await capture.kill();
      const reached = (await headwater.position())?.lsn;
      assert(reached !== undefined && reached <= writer.bulkLsn, 'the transaction was not over');
      capture = headwater.start(['capture']);
    }
    assert.ok((await headwater.writtenTo(observations)) > written);

    writer.run();
    for (let i = 0; i < atRandom; i++) {
      const target = writer.history.length + Math.floor(Math.random() * 40);
      await until('some more transactions', () => writer.history.length > target);
      await capture.kill();
      capture = headwater.start(['capture']);
      const next = await exportNow({ server, since: before.transactionTime });
      at = assertChanges(next, writer.history, at);
      before = { ...next, output: applied(before.output, next) };
    }
    await writer.pause();

    const last = await exportNow({ server, since: before.transactionTime });
    assert.equal(assertChanges(last, writer.history, at), writer.history.length);
    const state = writer.history.stateAfter(writer.history.length);
    assertLines(applied(before.output, last), state, 'all exports together');
    assert.equal(assertSnapshot(await exportNow({ server }), writer.history), writer.history.length);
  });

  const inLoad = rounds(2);
  it(`starts a first load over: ${inLoad} times inside it`, async () => {
    const { log } = headwater;
    await writer.bulk('Observation', 'big-', BIG);
    await writer.bulk('Patient', 'p', 1_000);
    const observations = log.names.resource('Observation');
    headwater.start(OTHERS);
    for (let i = 0; i < inLoad; i++) {
      const capture = headwater.start(['capture']);
      await capture.logged(/capture starts: first-load/);
      const inside = Math.max(1, Math.random() * 0.8 * BIG);
      await until(
        'the load to be half in the log',
        async () => (await headwater.writtenTo(observations)) >= inside,
      );
      await capture.kill();
      assert.equal((await headwater.position())?.pending, 'first-load', 'the load was not over');
      // The next load must find other rows than this one.
      await writer.commit(
        new Map([
          ['Observation/big-1', 'delete'],
          [`Observation/big-${i + 2}`, 'put'],
        ]),
      );
    }
    headwater.start(['capture']);
    const exported = await exportNow({ server: headwater.server });
    assert.equal(assertSnapshot(exported, writer.history), writer.history.length);
  });

  it('is replaced by a standby, and does no harm when it returns', async () => {
    const { server } = headwater;
    const first = headwater.start(['capture']);
    headwater.start(OTHERS);
    let before = await exportNow({ server });
    let at = assertSnapshot(before, writer.history);
    const next = async (): Promise<void> => {
      const exported = await exportNow({ server, since: before.transactionTime });
      at = assertChanges(exported, writer.history, at);
      before = { ...exported, output: applied(before.output, exported) };
    };

    const second = headwater.start(['capture']);
    await second.logged(/another capture leads/);
    writer.run();
    await next();
    await first.kill();
    await next();

    // Simulates a disconnected machine: its sessions have ended, and the process does not know yet.
    second.freeze();
    await endCapture(headwater);
    const third = headwater.start(['capture']);
    await third.logged(/capture starts: stream/);
    await next();
    second.thaw();
    await second.logged(/fenced|has taken over|session that leads has ended|ended the replication stream/);
    await next();
    await third.kill();
    await next();
    await writer.pause();
    await next();
    assertLines(before.output, writer.history.stateAfter(writer.history.length), 'all exports together');
  });
});

/** Ends capture's sessions in the database, like a network failure. */
async function endCapture(headwater: Deployment): Promise<void> {
  await headwater.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND (application_name LIKE 'headwater capture %' OR backend_type = 'walsender')`,
  );
}
