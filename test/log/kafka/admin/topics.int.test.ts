import assert from 'node:assert/strict';
import { uniqueName } from '../../../support/names.ts';
import { LogFixture } from '../log-fixture.ts';

describe('the identity of topics', () => {
  let log: LogFixture;
  beforeEach(() => {
    log = new LogFixture();
  });
  afterEach(() => log.close());

  it('tells id and partitions of each topic that exists', async () => {
    const [one, many] = await Promise.all([log.newTopic(1), log.newTopic(7)]);
    const absent = uniqueName('absent');
    const found = await log.reader.topics([one, absent, many]);
    assert.deepEqual([...found.keys()].sort(), [one, many].sort());
    assert.equal(found.get(one)?.partitions, 1);
    assert.equal(found.get(many)?.partitions, 7);
    assert.match(found.get(one)?.id ?? '', /^[\w-]{22}$/);
    assert.notEqual(found.get(one)?.id, found.get(many)?.id);
  });

  it('tells another id after the topic was made again', async () => {
    const admin = log.kafka.admin();
    await admin.connect();
    const topic = await log.newTopic(2);
    const before = (await log.reader.topics([topic])).get(topic);
    assert.deepEqual(
      (await log.reader.topics([topic])).get(topic),
      before,
      'the same as long as it is there',
    );
    await admin.deleteTopics({ topics: [topic] });
    while ((await log.reader.topics([topic])).size > 0) await new Promise(setImmediate);
    await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] });
    const after = (await log.reader.topics([topic])).get(topic);
    await admin.disconnect();
    assert.equal(after?.partitions, 3);
    assert.notEqual(after.id, before?.id);
  });

  it('describes hundreds of topics', async () => {
    const topic = await log.newTopic(1);
    const names = Array.from({ length: 450 }, () => uniqueName('absent'));
    const found = await log.reader.topics([...names, topic]);
    assert.deepEqual([...found.keys()], [topic]);
  });
});
