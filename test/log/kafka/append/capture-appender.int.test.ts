import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { HeadwaterError } from '../../../../src/base/errors.ts';
import { offset } from '../../../../src/base/positions.ts';
import { CaptureAppender } from '../../../../src/log/kafka/append/capture-appender.ts';
import { Cluster } from '../../../../src/log/kafka/wire/cluster.ts';
import { coordinate } from '../../../../src/log/kafka/wire/patience.ts';
import {
  describeTransaction,
  initProducerId,
  produce,
} from '../../../../src/log/kafka/wire/protocol-write.ts';
import { BatchBuilder, claim, sequenceAfter } from '../../../../src/log/kafka/append/record-batch-writer.ts';
import { uniqueName } from '../../../support/names.ts';
import { LogFixture } from '../log-fixture.ts';
import { until } from '../../../support/until.ts';

const FAR_AHEAD = Date.UTC(2100, 0);

describe('CaptureAppender', () => {
  let log: LogFixture;
  let id: string;
  let cluster: Cluster;
  const appenders: CaptureAppender[] = [];

  beforeEach(() => {
    log = new LogFixture();
    id = uniqueName('capture');
    cluster = new Cluster({ brokers: log.brokers, clientId: 'test' });
  });
  afterEach(async () => {
    for (const appender of appenders.splice(0)) await appender.close();
    cluster.close();
    await log.close();
  });

  async function open(topic: string, timeoutMs?: number): Promise<CaptureAppender> {
    const appender = await CaptureAppender.open({ brokers: log.brokers, clientId: 'test' }, id, timeoutMs);
    appender.declare(topic, await log.reader.ends(topic));
    appenders.push(appender);
    return appender;
  }

  const add = (appender: CaptureAppender, topic: string, key: string, value = 'v', timestamp = 1): void =>
    appender.add(topic, { timestamp, key: Buffer.from(key), value: Buffer.from(value) });

  /** Keys and values up to where the appender is. */
  async function stored(appender: CaptureAppender, topic: string): Promise<string[]> {
    const found: string[] = [];
    for (const [partition, to] of appender.ends(topic).entries()) {
      const range = { topic, partition, from: offset(0), to: offset(to) };
      for await (const records of log.reader.read(range, AbortSignal.timeout(50_000)))
        found.push(...records.map(({ key, value }) => `${key.toString()}=${value.toString().slice(0, 9)}`));
    }
    return found;
  }

  const holder = () =>
    coordinate(cluster, { kind: 'transaction', key: id }, describeTransaction(id)).then(
      ({ producerId, producerEpoch }) => `${producerId}/${producerEpoch}`,
    );

  describe('whose transaction is older than its timeout', () => {
    it('says so when Kafka has aborted it, and another goes on', async () => {
      const topic = await log.newTopic(1);
      const appender = await open(topic, 2_000);
      assert.equal(appender.openMs, 0);
      add(appender, topic, 'a');
      await appender.flush();
      const mine = await holder();
      while ((await holder()) === mine) await delay(100);
      assert.ok(appender.openMs >= appender.transactionTimeoutMs);
      await assert.rejects(
        appender.commit(),
        (e) =>
          e instanceof HeadwaterError &&
          e.code === 'unavailable' &&
          e.retryable &&
          /open longer than 2 s/.test(e.message),
      );
      const next = await open(topic);
      add(next, topic, 'b');
      await next.commit();
      assert.equal(next.openMs, 0);
      assert.deepEqual(await stored(next, topic), ['b=v']);
    });

    it('gets the same error when it adds more', async () => {
      const topic = await log.newTopic(1);
      const appender = await open(topic, 2_000);
      add(appender, topic, 'a');
      await appender.flush();
      const mine = await holder();
      while ((await holder()) === mine) await delay(100);
      add(appender, topic, 'b');
      await assert.rejects(
        appender.flush(),
        (e) => e instanceof HeadwaterError && e.retryable && /open longer than 2 s/.test(e.message),
      );
    });

    it('is fenced all the same when another has taken over', async () => {
      const topic = await log.newTopic(1);
      const appender = await open(topic, 2_000);
      add(appender, topic, 'a');
      await appender.flush();
      while (appender.openMs < 2_000) await delay(100);
      await open(topic, 2_000);
      await assert.rejects(appender.commit(), (e) => e instanceof HeadwaterError && e.code === 'fenced');
    });
  });

  describe('with a record that Kafka never takes', () => {
    const keys = ['a', 'b', 'c', 'd', 'e'];

    it('stores what it is given instead, in the same transaction and order', async () => {
      const topic = await log.newTopic(1, { 'max.message.bytes': '20000' });
      const appender = await open(topic);
      const refused: string[] = [];
      appender.listen(topic, {
        stored: () => undefined,
        refused: ({ key, reason }) => {
          refused.push(Buffer.from(key).toString());
          assert.match(reason.message, /MESSAGE_TOO_LARGE/);
          return Buffer.from('instead');
        },
      });
      for (const key of keys)
        add(appender, topic, key, key === 'b' || key === 'e' ? randomText(40_000) : 'v');
      await appender.commit();
      assert.deepEqual(refused, ['b', 'e']);
      assert.deepEqual(await stored(appender, topic), ['a=v', 'b=instead', 'c=v', 'd=v', 'e=instead']);
      add(appender, topic, 'f');
      await appender.commit();
      assert.equal((await stored(appender, topic)).at(-1), 'f=v');
    });

    it('takes small records apart that are too large together', async () => {
      const topic = await log.newTopic(1, { 'max.message.bytes': '20000' });
      const appender = await open(topic);
      for (let i = 0; i < 10; i++) add(appender, topic, `k${i}`, randomText(12_000));
      await appender.commit();
      assert.equal((await stored(appender, topic)).length, 10);
    });

    it('names the record, and why, when nothing is given instead', async () => {
      const topic = await log.newTopic(1, { 'max.message.bytes': '20000' });
      const appender = await open(topic);
      for (const key of keys) add(appender, topic, `Patient/${key}`, key === 'c' ? randomText(40_000) : 'v');
      await assert.rejects(
        appender.commit(),
        (e) =>
          e instanceof HeadwaterError &&
          e.code === 'limit' &&
          e.subject === 'Patient/c' &&
          /Patient\/c.*MESSAGE_TOO_LARGE/.test(e.message),
      );
    });

    it('knows the record whose time the topic does not allow', async () => {
      const topic = await log.newTopic(1, { 'message.timestamp.after.max.ms': '3600000' });
      const appender = await open(topic);
      for (const key of keys) add(appender, topic, key, 'v', key === 'd' ? FAR_AHEAD : Date.now());
      await assert.rejects(
        appender.commit(),
        (e) => e instanceof HeadwaterError && e.code === 'unsupported' && e.subject === 'd' && !e.retryable,
      );
    });
  });

  it('is right that sequence numbers begin again after 2^31 - 1', async () => {
    const topic = await log.newTopic(1);
    // A broker that has just started may still load its coordinators.
    const identity = await until('an identity', () => cluster.callAny(initProducerId(undefined, 0)));
    let sequence = 2 ** 31 - 5;
    for (let round = 0; round < 4; round++) {
      const builder = new BatchBuilder();
      for (let i = 0; i < 3; i++) builder.add(1, Buffer.from('k'), Buffer.from('v'));
      const batch = await builder.finish();
      claim(batch, { ...identity, transactional: false }, sequence);
      const leader = await cluster.leader(topic, 0);
      const [answer] = await cluster.call(leader, produce(undefined, [{ topic, partition: 0, batch }]));
      assert.deepEqual([answer?.errorCode, answer?.baseOffset], [0, round * 3]);
      sequence = sequenceAfter(sequence, 3);
    }
    assert.equal(sequence, 7);
  });
});

/** Text that does not become smaller by compression. */
function randomText(length: number): string {
  let text = '';
  while (text.length < length) text += Math.random().toString(36).slice(2);
  return text.slice(0, length);
}
