import { throwIfFailed } from './protocol-error.ts';
import type { WireReader, WireWriter } from './bytes.ts';

/**
 * Calls as Kafka's protocol guide has them: here those of reading, in `protocol-write.ts` those of writing. Of each the last
 * version without tagged fields, except where a later one tells more: Metadata has topic ids since version 10. Every broker from 2.8 to 4.x
 * answers these versions, so nothing is negotiated. `read` throws a ProtocolError where the whole call failed; the errors of
 * single partitions are in the result.
 */
export interface Call<T> {
  readonly name: string;
  readonly key: number;
  readonly version: number;
  /** Request and answer have tagged fields (KIP-482), their headers too. */
  readonly flexible?: boolean;
  /** ms until a broker that does not answer is given up; 30 s when absent. */
  readonly timeout?: number;
  write(to: WireWriter): void;
  read(from: WireReader): T;
}

const CONSUMER = -1;
const NONE = -1;
const READ_COMMITTED = 1;
/** ms; metadata is small, and there are other brokers to ask. */
export const LOOK_UP_TIMEOUT = 10_000;
const FETCH_TIMEOUT = 15_000;

export interface InTopic {
  readonly topic: string;
  readonly partition: number;
}

export interface FetchRange extends InTopic {
  readonly from: number;
  readonly maxBytes: number;
}

export interface FetchedPartition extends InTopic {
  readonly errorCode: number;
  readonly lastStableOffset: number;
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: number }[];
  /** Record batches as they lie in the log; the last may be cut off. A view into the answer. */
  readonly records: Buffer;
}

/** Fetches committed records from given offsets on. @param wait ms that the broker may wait for the first record */
export function fetch(ranges: readonly FetchRange[], wait: number): Call<FetchedPartition[]> {
  const total = ranges.reduce((sum, { maxBytes }) => sum + maxBytes, 0);
  return {
    name: 'Fetch',
    key: 1,
    version: 11,
    timeout: wait + FETCH_TIMEOUT,
    write: (to) => {
      to.int32(CONSUMER).int32(wait).int32(1).int32(total).int8(READ_COMMITTED);
      to.int32(0).int32(NONE); // no session
      byTopic(to, ranges, ({ partition, from, maxBytes }) => {
        to.int32(partition).int32(NONE).int64(BigInt(from)).int64(-1n).int32(maxBytes);
      });
      to.int32(0).string(''); // nothing forgotten, no rack
    },
    read: (from) => {
      from.int32(); // throttle time
      throwIfFailed('Fetch', from.int16());
      from.int32(); // session
      return ofTopics(from, (topic) => readFetched(from, topic));
    },
  };
}

function readFetched(from: WireReader, topic: string): FetchedPartition {
  const partition = from.int32();
  const errorCode = from.int16();
  from.int64(); // high watermark
  const lastStableOffset = Number(from.int64());
  from.int64(); // start of the log
  const aborted = from.array(() => ({ producerId: from.int64(), firstOffset: Number(from.int64()) }));
  from.int32(); // preferred replica
  return { topic, partition, errorCode, lastStableOffset, aborted, records: from.bytes() };
}

/** A topic as the cluster has it now. */
export interface TopicMetadata {
  readonly topic: string;
  readonly errorCode: number;
  /** 22 characters; another after the topic was deleted and made again. */
  readonly id: string;
  /** Leader's node id by partition number; -1 when there is none now. */
  readonly leaders: readonly number[];
}

export interface ClusterMetadata {
  readonly brokers: ReadonlyMap<number, string>;
  readonly topics: readonly TopicMetadata[];
}

/** Asks for the metadata of topics; the question creates none. */
export function metadata(topics: readonly string[]): Call<ClusterMetadata> {
  return {
    name: 'Metadata',
    key: 3,
    version: 10,
    flexible: true,
    timeout: LOOK_UP_TIMEOUT,
    write: (to) => {
      to.compactArray(topics, (topic) => to.noUuid().compactString(topic).tags());
      to.bool(false).bool(false).bool(false).tags(); // make no topic, tell no rights
    },
    read: (from) => {
      from.int32(); // throttle time
      const brokers = new Map(from.compactArray(() => readBroker(from)));
      from.compactString(); // cluster id
      from.int32(); // controller
      return { brokers, topics: from.compactArray(() => readTopic(from)) };
    },
  };
}

function readBroker(from: WireReader): [node: number, address: string] {
  const node = from.int32();
  const address = addressOf(from.compactString(), from.int32());
  from.compactString(); // rack
  from.tags();
  return [node, address];
}

function readTopic(from: WireReader): TopicMetadata {
  const errorCode = from.int16();
  const topic = from.compactString();
  const id = from.uuid();
  from.bool(); // internal
  const leaders: number[] = [];
  from.compactArray(() => {
    from.int16(); // a partition without a leader says -1 as well
    const partition = from.int32();
    leaders[partition] = from.int32();
    from.int32(); // its epoch
    for (let list = 0; list < 3; list++) from.compactArray(() => from.int32()); // replicas: all, in sync, offline
    from.tags();
  });
  from.int32(); // rights
  from.tags();
  return { topic, errorCode, id, leaders };
}

/** Asks for an offset of each partition: the first at or after a timestamp, or the end for -1. The answer is -1 when there is none. */
export function listOffsets(
  topic: string,
  partitions: readonly number[],
  timestamp: bigint,
): Call<{ readonly partition: number; readonly offset: bigint }[]> {
  return {
    name: 'ListOffsets',
    key: 2,
    version: 5,
    timeout: FETCH_TIMEOUT,
    write: (to) => {
      to.int32(CONSUMER).int8(READ_COMMITTED);
      const asked = partitions.map((partition) => ({ topic, partition }));
      byTopic(to, asked, ({ partition }) => to.int32(partition).int32(NONE).int64(timestamp));
    },
    read: (from) => {
      from.int32(); // throttle time
      return ofTopics(from, (name) => {
        const partition = from.int32();
        throwIfFailed('ListOffsets', from.int16(), { topic: name });
        from.int64(); // timestamp found
        const offset = from.int64();
        from.int32(); // leader's epoch
        return { partition, offset };
      });
    },
  };
}

/** `host:port`, an IPv6 address in brackets. */
export function addressOf(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

export function byTopic<T extends InTopic>(
  to: WireWriter,
  items: readonly T[],
  write: (item: T) => void,
): void {
  to.array([...Map.groupBy(items, ({ topic }) => topic)], ([topic, list]) => {
    to.string(topic).array(list, write);
  });
}

export function ofTopics<T>(from: WireReader, read: (topic: string) => T): T[] {
  return from
    .array(() => {
      const topic = from.string();
      return from.array(() => read(topic));
    })
    .flat();
}
