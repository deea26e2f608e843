import assert from 'node:assert/strict';
import { murmur2 } from '@platformatic/kafka';
import { HeadwaterError } from '../../../../src/base/errors.ts';
import { KafkaPublisher } from '../../../../src/log/kafka/append/publisher.ts';
import { publisherContract } from '../../../contract/publisher.ts';
import { LogFixture } from '../log-fixture.ts';

describe('KafkaPublisher', () => {
  let fixture: LogFixture;

  before(() => {
    fixture = new LogFixture();
  });

  after(() => fixture.close());

  publisherContract(() => fixture);

  it('chooses the partition capture chooses for the same key', async () => {
    const topic = await fixture.newTopic(7);
    const keys = Array.from({ length: 50 }, (_, i) => `Observation/${i}-ü`);
    await fixture.publisher.append(keys.map((key) => ({ topic, key, value: Buffer.alloc(1) })));
    for (const { key, partition } of await fixture.committed(topic)) {
      assert.equal(partition, (murmur2(Buffer.from(key)) & 0x7fffffff) % 7);
    }
  });

  it('writes the timestamp and the headers it was given', async () => {
    const topic = await fixture.newTopic(1);
    const headers = { ce_id: 'j/1' };
    await fixture.publisher.append([
      { topic, key: 'k', value: Buffer.from('v'), timestamp: 1_700_000_000_000, headers },
    ]);
    const consumer = fixture.kafka.consumer({ groupId: `${topic}-reader` });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    const read = Promise.withResolvers<{ timestamp: string; id: string | undefined }>();
    await consumer.run({
      eachMessage: ({ message }) => {
        read.resolve({ timestamp: message.timestamp, id: message.headers?.['ce_id']?.toString() });
        return Promise.resolve();
      },
    });
    assert.deepEqual(await read.promise, { timestamp: '1700000000000', id: 'j/1' });
    await consumer.disconnect();
  });

  it('says unavailable when no broker answers', async () => {
    const publisher = new KafkaPublisher({ brokers: ['127.0.0.1:1'], clientId: 'test', patienceMs: 500 });
    await assert.rejects(
      publisher.append([{ topic: 't', key: 'k', value: Buffer.alloc(1) }]),
      (error) => error instanceof HeadwaterError && error.code === 'unavailable',
    );
    await publisher.close();
  });

  it('says limit when a record is larger than the topic takes', async () => {
    const topic = await fixture.newTopic(1, { 'max.message.bytes': '1000000' });
    await fixture.publisher.append([{ topic, key: 'k', value: Buffer.alloc(900_000) }]);
    await assert.rejects(
      fixture.publisher.append([{ topic, key: 'k', value: Buffer.alloc(1_000_000) }]),
      (error) => error instanceof HeadwaterError && error.code === 'limit',
    );
  });
});
