import assert from 'node:assert/strict';
import fc from 'fast-check';
import { readBackward } from '../../../../src/log/kafka/read/backward.ts';
import type { FetchPiece } from '../../../../src/log/kafka/read/backward.ts';
import { splitBatches } from '../../../../src/log/kafka/read/record-batch-reader.ts';
import type { RawBatch } from '../../../../src/log/kafka/read/record-batch-reader.ts';
import { BatchBuilder, claim } from '../../../../src/log/kafka/append/record-batch-writer.ts';

/** A partition as Kafka may hold it: batches of one to a few records, with gaps that markers and compaction leave. */
const shape = fc.array(
  fc.record({
    gap: fc.integer({ min: 0, max: 5 }),
    count: fc.integer({ min: 1, max: 6 }),
    bytes: fc.integer({ min: 1, max: 400 }),
  }),
  { maxLength: 60 },
);

async function partition(
  layout: readonly { gap: number; count: number; bytes: number }[],
): Promise<RawBatch[]> {
  const batches: RawBatch[] = [];
  let offset = 0;
  for (const { gap, count, bytes } of layout) {
    const builder = new BatchBuilder();
    for (let i = 0; i < count; i++) builder.add(1, Buffer.from('k'), Buffer.alloc(bytes, i));
    const built = await builder.finish();
    claim(built, { producerId: 1n, producerEpoch: 0, transactional: true }, 0);
    const [batch] = splitBatches(built);
    assert.ok(batch);
    offset += gap;
    batches.push({ ...batch, baseOffset: offset, nextOffset: offset + count });
    offset += count;
  }
  return batches;
}

/**
 * As a broker answers: from the batch that holds the offset on, at least one batch, and no more than asked for. What is
 * released is spoilt.
 */
function broker(batches: readonly RawBatch[], most: number): { fetch: FetchPiece; fetched: () => number } {
  let fetched = 0;
  const fetch: FetchPiece = ({ from, maxBytes }) => {
    const found = batches.filter((batch) => batch.nextOffset > from);
    const given: RawBatch[] = [];
    let bytes = 0;
    for (const batch of found) {
      if (given.length > 0 && bytes + batch.bytes.length > Math.min(most, maxBytes)) break;
      given.push({ ...batch, bytes: Buffer.from(batch.bytes) });
      bytes += batch.bytes.length;
    }
    fetched += bytes;
    return Promise.resolve({
      batches: given,
      first: given[0]?.baseOffset ?? from,
      next: given.at(-1)?.nextOffset ?? from,
      bytes,
      release: () => given.forEach((batch) => batch.bytes.fill(0)),
    });
  };
  return { fetch, fetched: () => fetched };
}

describe('reading backward', () => {
  it('gives every record of a range once, newest first', async () => {
    await fc.assert(
      fc.asyncProperty(
        shape,
        fc.nat(400),
        fc.nat(400),
        fc.integer({ min: 1, max: 5_000 }),
        async (layout, a, b, most) => {
          const batches = await partition(layout);
          const [from, to] = [Math.min(a, b), Math.max(a, b)];
          const seen: number[] = [];
          const options = { blockBytes: 700, firstSpan: 3 };
          for await (const batch of readBackward(broker(batches, most).fetch, { from, to }, options)) {
            for (let i = batch.end - 1; i >= batch.begin; i--) seen.push(batch.offset(i));
          }
          const all = batches.flatMap(({ baseOffset, count }) =>
            Array.from({ length: count }, (_, i) => baseOffset + i),
          );
          assert.deepEqual(seen, all.filter((offset) => offset >= from && offset < to).reverse());
        },
      ),
      { numRuns: 500 },
    );
  });

  it('fetches not much more than the range holds', async () => {
    const batches = await partition(Array.from({ length: 2_000 }, () => ({ gap: 1, count: 3, bytes: 500 })));
    const { fetch, fetched } = broker(batches, 4 << 20);
    const to = batches.at(-1)?.nextOffset ?? 0;
    let records = 0;
    for await (const { begin, end } of readBackward(
      fetch,
      { from: 0, to },
      { blockBytes: 10_000, firstSpan: 100 },
    )) {
      records += end - begin;
    }
    assert.equal(records, 6_000);
    const held = batches.reduce((sum, { bytes }) => sum + bytes.length, 0);
    assert.ok(fetched() < 3 * held, `${fetched()} of ${held} bytes`);
  });
});
