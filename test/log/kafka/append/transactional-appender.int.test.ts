import assert from 'node:assert/strict';
import { HeadwaterError } from '../../../../src/base/errors.ts';
import { offset } from '../../../../src/base/positions.ts';
import { createKafka } from '../../../../src/log/kafka/kafka-client.ts';
import { RangeReader } from '../../../../src/log/kafka/read/range-reader.ts';
import { transactionalAppenders } from '../../../../src/log/kafka/append/transactional-appender.ts';
import type { NewRecord } from '../../../../src/log/log.ts';
import type { OpenTransactionalAppender } from '../../../../src/log/transactional-appender.ts';
import { uniqueName } from '../../../support/names.ts';
import { sharedStack } from '../../../support/stack.ts';

describe('transactional appender', () => {
  const brokers = (): readonly string[] => sharedStack().kafkaBrokers;
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  let topics: [string, string];
  let id: string;
  let open: OpenTransactionalAppender;
  let reader: RangeReader;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    topics = [uniqueName('appended'), uniqueName('appended')];
    id = uniqueName('appender');
    const kafka = createKafka({ brokers: brokers(), clientId: id }, quiet);
    const admin = kafka.admin();
    await admin.connect();
    const small = [{ name: 'max.message.bytes', value: '10000' }];
    await admin.createTopics({
      waitForLeaders: true,
      topics: [
        { topic: topics[0], numPartitions: 1 },
        { topic: topics[1], numPartitions: 1, configEntries: small },
      ],
    });
    open = transactionalAppenders({ brokers: brokers(), clientId: id });
    reader = new RangeReader({ brokers: brokers(), clientId: id });
    remove = async () => {
      await admin.deleteTopics({ topics });
      await Promise.all([admin.disconnect(), reader.close()]);
    };
  });
  afterEach(() => remove());

  async function values(topic: string): Promise<string[]> {
    const [to] = await reader.ends(topic);
    const found: string[] = [];
    const range = { topic, partition: 0, from: offset(0), to: to ?? offset(0) };
    for await (const records of reader.read(range, new AbortController().signal)) {
      found.push(...records.map(({ value }) => value.toString()));
    }
    return found;
  }

  const record = (topic: string, value: string): NewRecord => ({
    topic,
    key: 'k',
    value: Buffer.from(value),
    headers: { h: '1' },
  });

  it('stores the records of an append in all their topics, in order', async () => {
    const appender = await open(id);
    for (const value of ['a', 'b', 'c']) {
      await appender.append([
        record(topics[0], value),
        record(topics[0], `${value}2`),
        record(topics[1], value),
      ]);
    }
    await appender.close();
    assert.deepEqual(await values(topics[0]), ['a', 'a2', 'b', 'b2', 'c', 'c2']);
    assert.deepEqual(await values(topics[1]), ['a', 'b', 'c']);
  });

  it('stores nothing of an append that fails', async () => {
    const appender = await open(id);
    const tooLarge = { ...record(topics[1], ''), value: Buffer.alloc(20_000) };
    await assert.rejects(
      appender.append([record(topics[0], 'lost'), tooLarge]),
      (e: unknown) => e instanceof HeadwaterError && e.code === 'limit',
    );
    await appender.close();
    const next = await open(id);
    await next.append([record(topics[0], 'kept')]);
    await next.close();
    assert.deepEqual(await values(topics[0]), ['kept']);
  });

  it('is fenced by the next one of the same id', async () => {
    const first = await open(id);
    await first.append([record(topics[0], 'first')]);
    const second = await open(id);
    await second.append([record(topics[0], 'second')]);
    await assert.rejects(
      first.append([record(topics[0], 'zombie')]),
      (e: unknown) => e instanceof HeadwaterError && e.code === 'fenced',
    );
    await second.append([record(topics[0], 'third')]);
    await Promise.all([first.close(), second.close()]);
    assert.deepEqual(await values(topics[0]), ['first', 'second', 'third']);
  });
});
