import assert from 'node:assert/strict';
import { zstdCompressSync } from 'node:zlib';
import { Reader, readRecordsBatch } from '@platformatic/kafka';
import fc from 'fast-check';
import { HeadwaterError } from '../../../../src/base/errors.ts';
import {
  openBatch,
  splitBatches,
  zstdContentSize,
} from '../../../../src/log/kafka/read/record-batch-reader.ts';
import { BatchBuilder, claim } from '../../../../src/log/kafka/append/record-batch-writer.ts';

const producer = { producerId: 42n, producerEpoch: 3, transactional: true };
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const record = fc.record({
  timestamp: fc.integer({ min: 0, max: 4_000_000_000_000 }),
  key: bytes,
  value: bytes,
});
const records = fc.array(record, { minLength: 1, maxLength: 40 });

async function build(list: readonly { timestamp: number; key: Buffer; value: Buffer }[]): Promise<Buffer> {
  const builder = new BatchBuilder(16);
  for (const { timestamp, key, value } of list) builder.add(timestamp, key, value);
  const batch = await builder.finish();
  claim(batch, producer, 7);
  return batch;
}

describe('record batches', () => {
  it('read back what was written', async () => {
    await fc.assert(
      fc.asyncProperty(records, async (list) => {
        const [batch, ...more] = splitBatches(await build(list));
        assert.ok(batch);
        assert.deepEqual(more, []);
        assert.equal(batch.count, list.length);
        assert.equal(batch.nextOffset - batch.baseOffset, list.length);
        assert.ok(batch.transactional && !batch.control);
        const set = openBatch(batch);
        for (const [i, { timestamp, key, value }] of list.entries()) {
          assert.equal(set.offset(i), i);
          assert.equal(set.timestamp(i), timestamp);
          assert.deepEqual(set.key(i), key);
          assert.equal(set.keyText(i), key.toString('latin1'));
          assert.deepEqual(set.data.subarray(set.valueStart(i), set.valueEnd(i)), value);
        }
      }),
    );
  });

  it('are what another client reads', async () => {
    await fc.assert(
      fc.asyncProperty(records, async (list) => {
        const read = readRecordsBatch(Reader.from(await build(list)));
        assert.equal(read.producerId, producer.producerId);
        assert.equal(read.producerEpoch, producer.producerEpoch);
        assert.equal(read.firstSequence, 7);
        assert.deepEqual(
          read.records.map(({ key, value, timestampDelta }) => ({
            timestamp: Number(read.firstTimestamp + timestampDelta),
            key: Buffer.from(key ?? []),
            value: Buffer.from(value ?? []),
          })),
          list.map((one) => ({ ...one })),
        );
      }),
    );
  });

  it('are separated where they lie together, without a last one that is cut off', async () => {
    const one = await build([{ timestamp: 1, key: Buffer.from('a'), value: Buffer.alloc(100) }]);
    const two = await build([{ timestamp: 2, key: Buffer.from('b'), value: Buffer.alloc(200) }]);
    assert.equal(splitBatches(Buffer.concat([one, two, one.subarray(0, one.length - 1)])).length, 2);
    assert.equal(splitBatches(Buffer.concat([one, two.subarray(0, 30)])).length, 1);
    assert.equal(splitBatches(Buffer.alloc(0)).length, 0);
  });

  it('say how large they are decompressed, whatever their size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200_000 }), (size) => {
        const frame = zstdCompressSync(Buffer.alloc(size, 7), { pledgedSrcSize: size });
        assert.equal(zstdContentSize(frame), size);
      }),
      { examples: [[0], [255], [256], [65_791], [65_792]] },
    );
  });

  it('with any byte after the checksum changed are refused', async () => {
    const good = await build([{ timestamp: 1, key: Buffer.from('a'), value: Buffer.from('value') }]);
    fc.assert(
      fc.property(
        fc.integer({ min: 21, max: good.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (at, change) => {
          const bad = Buffer.from(good);
          bad.writeUInt8((bad[at] ?? 0) ^ change, at);
          const [batch] = splitBatches(bad);
          assert.ok(batch);
          assert.throws(
            () => openBatch(batch),
            (error) => error instanceof HeadwaterError && error.code === 'corrupt',
          );
        },
      ),
    );
  });
});
