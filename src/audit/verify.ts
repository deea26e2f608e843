import type { AuditHead, AuditRecord } from '../events/audit.ts';
import { hashOf } from './chain.ts';

export interface Verified {
  /** Numbers of the first and the last record; 0 if there is none. */
  readonly first: number;
  readonly last: number;
  /** The faults, a line each; empty if the chain is whole. */
  readonly problems: readonly string[];
}

/**
 * Follows the chain through the records, oldest first.
 * @param head the end of the chain as the projector wrote it beside the records
 * @param keptSince ms since 1970: older records may be gone, because Kafka keeps them no longer
 */
export async function verifyChain(
  records: AsyncIterable<{ readonly record: AuditRecord; readonly value: Buffer }>,
  head: Pick<AuditHead, 'seq' | 'hash'>,
  keptSince: number,
): Promise<Verified> {
  const problems: string[] = [];
  let first = 0;
  let last: { readonly record: AuditRecord; readonly hash: Buffer } | undefined;
  for await (const { record, value } of records) {
    const { seq, previous, at } = record;
    if (last === undefined) {
      first = seq;
      if (seq !== 1 && at > keptSince)
        problems.push(`records 1 to ${String(seq - 1)} were removed before their time`);
    } else if (seq !== last.record.seq + 1) {
      problems.push(`after record ${String(last.record.seq)} comes record ${String(seq)}`);
    } else if (!previous.equals(last.hash)) {
      problems.push(
        `record ${String(last.record.seq)} is not the one that record ${String(seq)} was written after`,
      );
    }
    last = { record, hash: hashOf(value) };
  }
  const end = last?.record.seq ?? 0;
  if (end < head.seq) problems.push(`records ${String(end + 1)} to ${String(head.seq)} were removed`);
  else if (last && end === head.seq && !last.hash.equals(head.hash))
    problems.push(`record ${String(end)} is not the one that was written last`);
  return { first, last: end, problems };
}
