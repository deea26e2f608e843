import { HeadwaterError } from '../../../base/errors.ts';
import type { TopicListener } from '../../log.ts';
import { openBatch, splitBatches } from '../read/record-batch-reader.ts';
import { rebuild } from './partition-buffer.ts';
import type { AppendedRecord, FinishedBatch } from './partition-buffer.ts';

/** A batch that may be one record that replaces a refused one. */
export interface SentBatch extends FinishedBatch {
  readonly replaced?: boolean;
}

export interface Refusal {
  readonly refused: HeadwaterError;
  /** Places in the batch of the records that Kafka names; empty if it names none. */
  readonly places: readonly number[];
}

/**
 * Returns the batches to send instead of a refused one: the same records in the same order, with a replacement for each record that
 * Kafka never takes. If Kafka names no record, the batch is halved. Throws an error that names the record if the listener has no
 * replacement, or if the replacement was refused too.
 */
export async function withoutRefused(
  batch: SentBatch,
  { refused, places }: Refusal,
  listener: TopicListener | undefined,
): Promise<SentBatch[]> {
  const records = recordsOf(batch);
  const guilty = new Set(batch.count === 1 ? [0] : places);
  if (guilty.size === 0) {
    const middle = records.length >> 1;
    return Promise.all([records.slice(0, middle), records.slice(middle)].map((half) => rebuild(batch, half)));
  }
  // A replacement is a separate batch, so that a second refusal can be recognised.
  const groups: { records: AppendedRecord[]; replaced: boolean }[] = [];
  for (const [place, record] of records.entries()) {
    const last = groups.at(-1);
    if (guilty.has(place)) {
      const value =
        batch.replaced === true
          ? undefined
          : listener?.refused({ topic: batch.topic, ...record, reason: refused });
      if (!value) throw nameRefused(batch.topic, record, refused);
      groups.push({ records: [{ ...record, value }], replaced: true });
    } else if (last?.replaced === false) last.records.push(record);
    else groups.push({ records: [record], replaced: false });
  }
  return Promise.all(
    groups.map(async ({ records, replaced }) => ({ ...(await rebuild(batch, records)), replaced })),
  );
}

function recordsOf({ batch }: SentBatch): AppendedRecord[] {
  return splitBatches(batch).flatMap((raw) => {
    const set = openBatch(raw);
    return Array.from({ length: set.count }, (_, i) => ({
      timestamp: set.timestamp(i),
      key: set.key(i),
      value: set.value(i),
    }));
  });
}

function nameRefused(topic: string, { key }: AppendedRecord, cause: HeadwaterError): HeadwaterError {
  const subject = Buffer.from(key).toString();
  const message = `Kafka does not take the record ${subject} of ${topic}: ${cause.message}`;
  return new HeadwaterError(cause.code, message, { cause, subject });
}
