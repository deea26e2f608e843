import assert from 'node:assert/strict';
import type { Publisher } from '../../src/log/log.ts';

export interface PublisherHarness {
  readonly publisher: Publisher;
  newTopic(partitions: number): Promise<string>;
  committed(topic: string): Promise<{ key: string; value: string; partition: number }[]>;
}

export function publisherContract(harness: () => PublisherHarness): void {
  it('has stored every record whose promise is resolved', async () => {
    const topic = await harness().newTopic(3);
    await harness().publisher.append([{ topic, key: 'k', value: Buffer.from('v') }]);
    const found = await harness().committed(topic);
    assert.deepEqual(
      found.map(({ key, value }) => [key, value]),
      [['k', 'v']],
    );
  });

  it('keeps the order of what it was given, one after the other and at once', async () => {
    const topic = await harness().newTopic(1);
    const record = (i: number) => ({ topic, key: 'k', value: Buffer.from(String(i)) });
    await harness().publisher.append([record(0), record(1)]);
    await Promise.all([2, 3, 4, 5].map((i) => harness().publisher.append([record(i)])));
    await harness().publisher.append([record(6)]);
    const values = (await harness().committed(topic)).map(({ value }) => value);
    assert.deepEqual(values.toSorted(), ['0', '1', '2', '3', '4', '5', '6']);
    assert.deepEqual(values.slice(0, 2), ['0', '1']);
    assert.equal(values.at(-1), '6');
  });

  it('puts a record into the partition that was named, or always the same one for a key', async () => {
    const topic = await harness().newTopic(5);
    const keys = Array.from({ length: 20 }, (_, i) => `Patient/${i}`);
    await harness().publisher.append(keys.map((key) => ({ topic, key, value: Buffer.from('1') })));
    await harness().publisher.append(keys.map((key) => ({ topic, key, value: Buffer.from('2') })));
    await harness().publisher.append([{ topic, key: 'named', partition: 4, value: Buffer.from('3') }]);
    const found = await harness().committed(topic);
    for (const key of keys) {
      assert.equal(
        new Set(found.filter((r) => r.key === key).map(({ partition }) => partition)).size,
        1,
        key,
      );
    }
    assert.equal(found.find(({ key }) => key === 'named')?.partition, 4);
    assert.ok(new Set(found.map(({ partition }) => partition)).size > 1);
  });

  it('appends an empty list without an error', () => harness().publisher.append([]));

  it('continues after a failure', async () => {
    const topic = await harness().newTopic(1);
    const absent = `${topic}-absent`;
    await assert.rejects(harness().publisher.append([{ topic: absent, key: 'k', value: Buffer.from('v') }]));
    await harness().publisher.append([{ topic, key: 'k', value: Buffer.from('v') }]);
    assert.equal((await harness().committed(topic)).length, 1);
  });
}
