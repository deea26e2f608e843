import assert from 'node:assert/strict';
import { HeadwaterError } from '../../../../src/base/errors.ts';
import { createKafka } from '../../../../src/log/kafka/kafka-client.ts';
import { KafkaWorkQueue } from '../../../../src/log/kafka/queue/work-queue.ts';
import { workQueueContract } from '../../../contract/work-queue.ts';
import { uniqueName } from '../../../support/names.ts';
import { LogFixture } from '../log-fixture.ts';

describe('KafkaWorkQueue', () => {
  let fixture: LogFixture;

  before(() => {
    fixture = new LogFixture();
  });

  after(() => fixture.close());

  workQueueContract(() => fixture);

  it('aborts the transaction an earlier holder left open, and fences that one', async () => {
    const [topic, outcomes, group] = [
      await fixture.newTopic(1),
      await fixture.newTopic(1),
      uniqueName('group'),
    ];
    await fixture.publisher.append([{ topic, key: 'a', value: Buffer.from('go') }]);
    const zombie = await fixture.zombie(group, topic, 0);
    const transaction = await zombie.transaction();
    await transaction.send({ topic: outcomes, messages: [{ key: 'a', value: 'zombie' }] });
    await transaction.sendOffsets({
      consumerGroupId: group,
      topics: [{ topic, partitions: [{ partition: 0, offset: '1' }] }],
    });

    const stop = new AbortController();
    const handled: PromiseWithResolvers<void> = Promise.withResolvers();
    const ended = fixture.queue().run(
      { topics: [topic], group, concurrency: 1 },
      ({ key }) => {
        handled.resolve();
        return Promise.resolve([{ topic: outcomes, key, value: Buffer.from('successor') }]);
      },
      stop.signal,
    );
    await Promise.race([handled.promise, ended]);
    await assert.rejects(transaction.commit(), /old epoch/);
    await zombie.disconnect();
    let found = await fixture.committed(outcomes);
    while (found.length === 0) found = await fixture.committed(outcomes);
    assert.deepEqual(
      found.map(({ value }) => value),
      ['successor'],
    );
    stop.abort();
    await ended;
  });

  it('throws unavailable when no broker answers', async () => {
    const silent = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: () => undefined,
    };
    const kafka = createKafka({ brokers: ['127.0.0.1:1'], clientId: 'test' }, silent);
    const queue = new KafkaWorkQueue({
      kafka,
      cluster: { brokers: ['127.0.0.1:1'], clientId: 'test' },
      prefix: 'none',
      logger: silent,
    });
    const options = { topics: ['none'], group: uniqueName('group'), concurrency: 1 };
    await assert.rejects(
      queue.run(options, () => Promise.resolve([]), new AbortController().signal),
      (error) => error instanceof HeadwaterError && error.code === 'unavailable',
    );
  });

  it('throws unavailable when a topic does not exist yet', async () => {
    const options = { topics: [uniqueName('absent')], group: uniqueName('group'), concurrency: 1 };
    await assert.rejects(
      fixture.queue().run(options, () => Promise.resolve([]), new AbortController().signal),
      (error) => error instanceof HeadwaterError && error.code === 'unavailable',
    );
  });
});
