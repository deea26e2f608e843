import { createAPI, fetchV17, produceV11, Reader, Writer } from '@platformatic/kafka';
import type { API } from '@platformatic/kafka';

/**
 * The two calls of which @platformatic/kafka makes objects of every record: Fetch and Produce, here with a partition's
 * records as one buffer of bytes. Requests and layouts are Kafka's protocol guide's, Fetch version 17 and Produce version 11.
 */

export interface FetchedPartition {
  readonly errorCode: number;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly logStartOffset: number;
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: number }[];
  /** Record batches as they lie in the log; the last may be cut off. */
  readonly records: Buffer;
}

type FetchArguments = Parameters<typeof fetchV17.createRequest>;

/** Fetch of one partition. */
export const fetchOne: API<FetchArguments, FetchedPartition> = createAPI(
  1,
  17,
  fetchV17.createRequest,
  parseFetch,
);

function parseFetch(
  _correlationId: number,
  _apiKey: number,
  _version: number,
  reader: Reader,
): FetchedPartition {
  reader.readInt32(); // throttle time
  const errorCode = reader.readInt16();
  reader.readInt32(); // session
  const topics = reader.readArray((topic) => {
    topic.readUUID();
    return topic.readArray((partition) => parsePartition(partition));
  });
  const fetched = topics[0]?.[0];
  if (!fetched)
    return {
      errorCode,
      highWatermark: 0,
      lastStableOffset: 0,
      logStartOffset: 0,
      aborted: [],
      records: Buffer.alloc(0),
    };
  return errorCode === 0 ? fetched : { ...fetched, errorCode };
}

function parsePartition(reader: Reader): FetchedPartition {
  reader.readInt32(); // index
  const head = {
    errorCode: reader.readInt16(),
    highWatermark: Number(reader.readInt64()),
    lastStableOffset: Number(reader.readInt64()),
    logStartOffset: Number(reader.readInt64()),
    aborted: reader.readArray((r) => ({ producerId: r.readInt64(), firstOffset: Number(r.readInt64()) })),
  };
  reader.readInt32(); // preferred read replica
  const size = Math.max(0, reader.readUnsignedVarInt() - 1);
  const records = reader.buffer.slice(reader.position, reader.position + size);
  reader.skip(size);
  return { ...head, records };
}

export interface ProduceBatch {
  readonly topic: string;
  readonly partition: number;
  readonly batch: Buffer;
}

export interface ProducedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  readonly baseOffset: number;
}

/** Produce of at most one finished batch a partition, in a transaction, acknowledged by every in-sync replica. */
export const produceBatches: API<
  [transactionalId: string, timeout: number, batches: readonly ProduceBatch[]],
  ProducedPartition[]
> = createAPI(0, 11, createProduce, parseProduce);

function createProduce(transactionalId: string, timeout: number, batches: readonly ProduceBatch[]): Writer {
  const byTopic = Map.groupBy(batches, (batch) => batch.topic);
  return Writer.create()
    .appendString(transactionalId)
    .appendInt16(-1)
    .appendInt32(timeout)
    .appendArray([...byTopic], (w, [topic, partitions]) => {
      w.appendString(topic).appendArray(partitions, (p, { partition, batch }) => {
        p.appendInt32(partition)
          .appendUnsignedVarInt(batch.length + 1)
          .append(batch);
      });
    })
    .appendTaggedFields();
}

function parseProduce(
  _correlationId: number,
  apiKey: number,
  version: number,
  reader: Reader,
): ProducedPartition[] {
  try {
    return produced(produceV11.parseResponse(_correlationId, apiKey, version, reader));
  } catch (error) {
    // It throws when any partition failed, and hands the whole answer over with the error.
    const { response } = error as { response?: ReturnType<typeof produceV11.parseResponse> };
    if (!response) throw error;
    return produced(response);
  }
}

function produced(response: ReturnType<typeof produceV11.parseResponse>): ProducedPartition[] {
  return response.responses.flatMap((topic) =>
    topic.partitionResponses.map((partition) => ({
      topic: topic.name,
      partition: partition.index,
      errorCode: partition.errorCode,
      baseOffset: Number(partition.baseOffset),
    })),
  );
}
