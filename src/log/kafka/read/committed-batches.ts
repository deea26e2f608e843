import type { FetchedPartition } from '../wire/protocol.ts';
import { splitBatches } from './record-batch-reader.ts';
import type { RawBatch } from './record-batch-reader.ts';

/**
 * The batches of committed transactions (and none of control records) in what was fetched from an offset on. A batch is
 * aborted when its producer has an aborted transaction that began at or before it and whose marker has not come yet.
 */
export function committedBatches(
  fetched: Pick<FetchedPartition, 'records' | 'aborted'>,
  from: number,
): { readonly batches: readonly RawBatch[]; readonly first: number; readonly next: number } {
  const raw = splitBatches(fetched.records);
  const pending = fetched.aborted.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const aborting = new Set<bigint>();
  const batches: RawBatch[] = [];
  let next = from;
  for (const batch of raw) {
    next = Math.max(next, batch.nextOffset);
    while (pending[0] && pending[0].firstOffset < batch.nextOffset) {
      aborting.add(pending[0].producerId);
      pending.shift();
    }
    // The next control batch of a producer whose transaction was aborted is that abort, also when compaction has emptied it.
    if (batch.control) aborting.delete(batch.producerId);
    else if (batch.count > 0 && !(batch.transactional && aborting.has(batch.producerId))) batches.push(batch);
  }
  return { batches, first: raw[0]?.baseOffset ?? from, next };
}
