import assert from 'node:assert/strict';
import kafkajs from 'kafkajs';
import type { Admin } from 'kafkajs';
import { offset } from '../../../../src/base/positions.ts';
import type { Offset } from '../../../../src/base/positions.ts';
import { CaptureAppender } from '../../../../src/log/kafka/append/capture-appender.ts';
import { Cluster } from '../../../../src/log/kafka/wire/cluster.ts';
import type { ClusterOptions } from '../../../../src/log/kafka/wire/cluster.ts';
import { ExclusiveCommitter } from '../../../../src/log/kafka/queue/exclusive-committer.ts';
import { KafkaPublisher } from '../../../../src/log/kafka/append/publisher.ts';
import { RangeReader } from '../../../../src/log/kafka/read/range-reader.ts';
import { transactionalAppenders } from '../../../../src/log/kafka/append/transactional-appender.ts';
import type { NewRecord } from '../../../../src/log/log.ts';
import { inSync, leaderOf, moveCoordinator, moveLeader } from '../../../support/broker-moves.ts';
import { BROKER_IDS } from '../../../support/broker-properties.ts';
import { Brokers } from '../../../support/brokers.ts';
import { uniqueName } from '../../../support/names.ts';
import { until } from '../../../support/until.ts';

/** ms; less than a broker that does not answer is waited for. */
const WITHOUT_WAITING = 9_000;

describe('writing to three brokers', function () {
  this.timeout(240_000);
  let brokers: Brokers;
  let admin: Admin;
  let reader: RangeReader;
  let cluster: ClusterOptions;

  before(async () => {
    brokers = await Brokers.start();
    cluster = { brokers: brokers.addresses, clientId: 'test' };
    admin = new kafkajs.Kafka({
      brokers: [...brokers.addresses],
      logLevel: kafkajs.logLevel.NOTHING,
    }).admin();
    await admin.connect();
    reader = new RangeReader(cluster);
  });
  after(async () => {
    await reader?.close();
    await admin?.disconnect();
    await brokers?.stop();
  });

  async function newTopic(replicas: readonly (readonly number[])[], minInSync = '1'): Promise<string> {
    const topic = uniqueName('written');
    const replicaAssignment = replicas.map((ids, partition) => ({ partition, replicas: [...ids] }));
    const configEntries = [{ name: 'min.insync.replicas', value: minInSync }];
    await admin.createTopics({ topics: [{ topic, replicaAssignment, configEntries }] });
    await knownEverywhere(topic);
    return topic;
  }

  async function knownEverywhere(topic: string): Promise<void> {
    for (const address of brokers.answering) {
      const one = new Cluster({ brokers: [address], clientId: 'test' });
      while (!(await one.partitions(topic))) one.forget();
      one.close();
    }
  }

  async function valuesOf(topic: string): Promise<string[][]> {
    const found: string[][] = [];
    for (const [partition, to] of (await decidedEnds(topic)).entries()) {
      const values: string[] = (found[partition] = []);
      const range = { topic, partition, from: offset(0), to };
      for await (const records of reader.read(range, AbortSignal.timeout(60_000)))
        values.push(...records.map(({ value }) => value.toString()));
    }
    return found;
  }

  /** A reader may see the last transaction a moment after its commit, when its markers are written. */
  async function assertValues(topic: string, expected: string[][]): Promise<void> {
    const count = expected.flat().length;
    const visible = async (): Promise<boolean> => (await valuesOf(topic)).flat().length >= count;
    await until(`${count} records of ${topic}`, visible, { timeoutMs: 30_000 });
    assert.deepEqual(await valuesOf(topic), expected);
  }

  /** A transaction's markers come to its partitions a moment after its commit. */
  async function decidedEnds(topic: string): Promise<readonly Offset[]> {
    for (;;) {
      const written = new Map(
        (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]),
      );
      const ends = await reader.ends(topic);
      if (ends.every((end, partition) => end === written.get(partition))) return ends;
    }
  }

  const toEach = (topic: string, partitions: number, value: string): NewRecord[] =>
    Array.from({ length: partitions }, (_, partition) => ({
      topic,
      partition,
      key: value,
      value: Buffer.from(value),
    }));

  /** Partition 1 joins partition 0 on broker 1, which an append to both asks first. */
  async function moveToFirst(topic: string): Promise<void> {
    const partitionAssignment = [{ partition: 1, replicas: [1] }];
    await admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment }] });
    while ((await leaderOf(brokers, topic, 1)) !== 1);
    await knownEverywhere(topic);
  }

  for (const [name, open] of [
    ['in a transaction', () => transactionalAppenders(cluster)(uniqueName('appender'))],
    ['outside of transactions', () => Promise.resolve(new KafkaPublisher(cluster))],
  ] as const) {
    it(`stores all of an append ${name} when a partition has moved to a broker that has answered`, async () => {
      const topic = await newTopic([[1], [2]]);
      const writer = await open();
      await writer.append(toEach(topic, 2, 'before'));
      await moveToFirst(topic);
      await writer.append(toEach(topic, 2, 'after'));
      await writer.append(toEach(topic, 2, 'more'));
      await writer.close();
      await assertValues(topic, [
        ['before', 'after', 'more'],
        ['before', 'after', 'more'],
      ]);
    });
  }

  it('stores each record once, in order, when transactions follow each other at once', async () => {
    const topic = await newTopic([[1], [2], [3], [1]]);
    const writer = await transactionalAppenders(cluster)(uniqueName('appender'));
    const values = Array.from({ length: 60 }, (_, i) => String(i));
    for (const value of values) await writer.append(toEach(topic, 4, value));
    await writer.close();
    await assertValues(topic, [values, values, values, values]);
  });

  it('goes on when the coordinator of the transactional id has moved', async () => {
    const topic = await newTopic([[1, 2, 3]]);
    const id = uniqueName('capture');
    const appender = await CaptureAppender.open(cluster, id);
    appender.declare(topic, [0]);
    const commit = async (text: string): Promise<void> => {
      appender.add(topic, { timestamp: 1, key: Buffer.from(text), value: Buffer.from(text) });
      await appender.commit();
    };
    await commit('before');
    await moveCoordinator(brokers, 'transaction', id);
    await commit('after');
    await moveLeader(brokers, topic, 0);
    await commit('more');
    await assertValues(topic, [['before', 'after', 'more']]);
    await appender.close();
  });

  it('goes on when the coordinators of group and transactional id have moved', async () => {
    const topic = await newTopic([[1, 2, 3]]);
    const options = {
      cluster,
      group: uniqueName('group'),
      partition: { topic, partition: 0 },
      transactionalId: uniqueName('committer'),
    };
    const committer = await ExclusiveCommitter.open(options);
    assert.equal(committer.position, undefined);
    await committer.commit(toEach(topic, 1, 'a'), offset(1));
    await moveCoordinator(brokers, 'group', options.group);
    await committer.commit(toEach(topic, 1, 'b'), offset(2));
    await moveCoordinator(brokers, 'transaction', options.transactionalId);
    await committer.commit([], offset(3));
    await committer.close();
    await moveCoordinator(brokers, 'group', options.group);
    const next = await ExclusiveCommitter.open(options);
    assert.equal(next.position, 3);
    await next.close();
    await assertValues(topic, [['a', 'b']]);
  });

  it('goes on when the leader is killed, and stores each record once', async () => {
    const topic = await newTopic([[1, 2, 3]], '2');
    await inSync(brokers);
    const writer = await transactionalAppenders(cluster)(uniqueName('appender'));
    const values: string[] = [];
    const append = async (): Promise<void> => {
      const value = String(values.length);
      values.push(value);
      await writer.append(toEach(topic, 1, value));
    };
    await append();
    const leader = await leaderOf(brokers, topic, 0);
    const ended = brokers.end(leader, 'SIGKILL');
    for (let i = 0; i < 5; i++) await append();
    await ended;
    await append();
    await writer.close();
    await brokers.run(leader);
    await assertValues(topic, [values]);
    await inSync(brokers);
  });

  it('finds who leads without waiting for the first broker, which is frozen', async () => {
    const topic = await newTopic([[2, 3]]);
    brokers.freeze(1);
    const begun = performance.now();
    const look = new Cluster(cluster);
    try {
      for (let i = 0; i < 5; i++) {
        assert.deepEqual(await look.partitions(topic), [0]);
        look.reset();
      }
      assert.ok(performance.now() - begun < WITHOUT_WAITING, 'five times, of which none waits for an answer');
    } finally {
      look.close();
      brokers.thaw(1);
    }
    await inSync(brokers);
  });

  it('waits for a frozen leader only until there is another', async () => {
    const topic = await newTopic([[1, 2, 3]], '2');
    await inSync(brokers);
    const publisher = new KafkaPublisher(cluster);
    await publisher.append(toEach(topic, 1, 'before'));
    const leader = await leaderOf(brokers, topic, 0);
    brokers.freeze(leader);
    // The call to the frozen one ends with its connection; nothing may be stored twice when it thaws.
    const appended = publisher.append(toEach(topic, 1, 'after'));
    await appended.finally(() => brokers.thaw(leader));
    await publisher.close();
    assert.ok(BROKER_IDS.every((id) => brokers.runs(id)));
    await inSync(brokers);
    await assertValues(topic, [['before', 'after']]);
  });
});
