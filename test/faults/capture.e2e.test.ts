import assert from 'node:assert/strict';
import { sharedStack } from '../support/stack.ts';
import { Deployment, OTHERS } from './deployment.ts';
import { applied, assertChanges, assertLines, assertSnapshot, exportNow } from './exported.ts';
import { kills } from './role-process.ts';
import { rounds } from './rounds.ts';
import { SourceWriter } from './source-writer.ts';
import { until } from './until.ts';

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

  const inTransaction = rounds(4);
  const atRandom = rounds(4);
  it(`loses and doubles nothing: ${inTransaction} times inside a large transaction, ${atRandom} times between small ones`, async () => {
    const { server, log } = headwater;
    await writer.commit(new Map([['Patient/first', 'put']]));
    let capture = headwater.start(['capture']);
    headwater.start(OTHERS);
    let before = await exportNow({ server });
    let at = assertSnapshot(before, writer.history);

    const observations = log.names.resource('Observation');
    const written = await headwater.writtenTo(observations);
    await writer.bulk('Observation', 'big-', BIG);
    const position = await headwater.writtenTo(log.names.position);
    for (let i = 0; i < inTransaction; i++) {
      const start = await headwater.writtenTo(observations);
      // The first flush is enough to be inside; a later one lies in the transaction's second Kafka transaction.
      const inside = Math.max(1, Math.random() * 0.8 * BIG);
      await until(
        'the transaction to be half in the log',
        async () => (await headwater.writtenTo(observations)) >= start + inside,
      );
      await capture.kill();
      assert.equal(await headwater.writtenTo(log.names.position), position, 'the transaction was not over');
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
      assert.equal(await headwater.writtenTo(log.names.position), 0, 'the load was not over');
      // What the next load finds is not what this one found.
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
});
