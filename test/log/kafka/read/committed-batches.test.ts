import assert from 'node:assert/strict';
import { committedBatches } from '../../../../src/log/kafka/read/committed-batches.ts';
import * as layout from '../../../../src/log/kafka/wire/record-batch.ts';
import { BatchBuilder, claim } from '../../../../src/log/kafka/append/record-batch-writer.ts';

describe('batches of committed transactions', () => {
  const ours = 7n;

  async function data(offset: number, producerId = ours): Promise<Buffer> {
    const builder = new BatchBuilder();
    builder.add(1, Buffer.from('k'), Buffer.from('v'));
    const batch = await builder.finish();
    claim(batch, { producerId, producerEpoch: 0, transactional: true }, 0);
    batch.writeBigInt64BE(BigInt(offset), 0);
    return batch;
  }

  /** As compaction leaves it: the marker is gone, the header stays. */
  async function emptyMarker(offset: number, producerId = ours): Promise<Buffer> {
    const batch = Buffer.from((await data(offset, producerId)).subarray(0, layout.HEADER_BYTES));
    batch.writeInt32BE(layout.HEADER_BYTES - layout.LENGTH_AT - 4, layout.LENGTH_AT);
    batch.writeInt16BE(layout.TRANSACTIONAL | layout.CONTROL, layout.ATTRIBUTES_AT);
    batch.writeInt32BE(0, layout.COUNT_AT);
    return batch;
  }

  it('are distinguished from aborted ones by a control batch that compaction has emptied', async () => {
    const records = Buffer.concat([await data(3), await emptyMarker(4), await data(5), await emptyMarker(6)]);
    const aborted = [{ producerId: ours, firstOffset: 3 }];
    const { batches, first, next } = committedBatches({ records, aborted }, 3);
    assert.deepEqual(
      batches.map(({ baseOffset }) => baseOffset),
      [5],
    );
    assert.deepEqual([first, next], [3, 7]);
  });

  it('are not left out because another producer aborted', async () => {
    const records = Buffer.concat([
      await data(0),
      await data(1, 8n),
      await emptyMarker(2, 8n),
      await data(3),
    ]);
    const aborted = [{ producerId: 8n, firstOffset: 1 }];
    const { batches } = committedBatches({ records, aborted }, 0);
    assert.deepEqual(
      batches.map(({ baseOffset }) => baseOffset),
      [0, 3],
    );
  });

  it('of an aborted transaction that began before the fetch are left out until its marker', async () => {
    const records = Buffer.concat([await data(10), await emptyMarker(11), await data(12)]);
    const { batches } = committedBatches({ records, aborted: [{ producerId: ours, firstOffset: 2 }] }, 10);
    assert.deepEqual(
      batches.map(({ baseOffset }) => baseOffset),
      [12],
    );
  });
});
