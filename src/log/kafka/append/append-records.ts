import { HeadwaterError } from '../../../base/errors.ts';
import type { NewRecord } from '../../log.ts';
import type { Cluster } from '../wire/cluster.ts';
import { partitionOf } from '../../partition-of.ts';
import type { Batch, Producer } from './producer.ts';
import { BatchBuilder } from './record-batch-writer.ts';

/** Raw bytes at which a batch is closed; a larger record is a batch of its own. */
const BATCH_BYTES = 256 << 10;

/** Appends records, in order within a partition. Kafka's refusal of one is an error that names its topic and key. */
export async function appendRecords(
  cluster: Cluster,
  producer: Producer,
  records: readonly NewRecord[],
): Promise<void> {
  const queues = [...(await byPartition(cluster, records)).values()];
  for (;;) {
    const round = queues.map((queue) => queue.shift()).filter((batch) => batch !== undefined);
    if (round.length === 0) return;
    const appended = await producer.append(round.map(({ batch }) => batch));
    for (const [i, outcome] of appended.entries()) {
      if ('from' in outcome) continue;
      const { records: refused, batch } = round[i] as Filled;
      const [place = 0] = outcome.places;
      const subject = refused[place]?.key ?? '';
      const which = refused.length === 1 || outcome.places.length > 0 ? `the record ${subject}` : 'a record';
      throw new HeadwaterError(
        outcome.refused.code,
        `Kafka does not take ${which} of ${batch.topic}: ${outcome.refused.message}`,
        { cause: outcome.refused, subject },
      );
    }
  }
}

interface Filled {
  readonly batch: Batch;
  readonly records: readonly NewRecord[];
}

async function byPartition(cluster: Cluster, records: readonly NewRecord[]): Promise<Map<string, Filled[]>> {
  const groups = new Map<string, { topic: string; partition: number; records: NewRecord[] }>();
  for (const record of records) {
    const partition = record.partition ?? (await chosen(cluster, record));
    const name = `${record.topic}/${partition}`;
    const group = groups.get(name);
    if (group) group.records.push(record);
    else groups.set(name, { topic: record.topic, partition, records: [record] });
  }
  const filled = new Map<string, Filled[]>();
  for (const [name, { topic, partition, records: all }] of groups) {
    const batches = batched(all).map(async (part) => ({
      batch: { topic, partition, count: part.length, batch: await built(part) },
      records: part,
    }));
    filled.set(name, await Promise.all(batches));
  }
  return filled;
}

async function chosen(cluster: Cluster, { topic, key }: NewRecord): Promise<number> {
  const partitions = await cluster.partitions(topic);
  if (!partitions) throw new HeadwaterError('unavailable', `Kafka has no topic ${topic}`, { subject: topic });
  return partitionOf(Buffer.from(key), partitions.length);
}

function batched(records: readonly NewRecord[]): NewRecord[][] {
  const batches: NewRecord[][] = [];
  let bytes = 0;
  for (const record of records) {
    const last = batches.at(-1);
    const own = record.key.length + record.value.length;
    if (last && bytes + own <= BATCH_BYTES) last.push(record);
    else {
      batches.push([record]);
      bytes = 0;
    }
    bytes += own;
  }
  return batches;
}

/** Sends the records uncompressed, because other programs read these topics and not every client knows zstd. */
function built(records: readonly NewRecord[]): Promise<Buffer> {
  const builder = new BatchBuilder(1024);
  for (const { timestamp = Date.now(), key, value, headers } of records)
    builder.add(timestamp, Buffer.from(key), value, headers);
  return builder.finish('none');
}
