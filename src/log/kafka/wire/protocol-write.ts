import { ProtocolError, code, throwIfFailed } from './protocol-error.ts';
import { LOOK_UP_TIMEOUT, addressOf, byTopic, ofTopics } from './protocol.ts';
import type { Call, InTopic } from './protocol.ts';
import type { WireReader } from './bytes.ts';

const ALL_REPLICAS = -1;
const NO_EPOCH = -1;
/** ms that a broker may take to store a batch on every in-sync replica. */
const PRODUCE_TIMEOUT = 10_000;
/** ms more until the broker counts as gone. */
const GRACE = 5_000;
const COORDINATOR_TIMEOUT = 10_000;
const COORDINATORS = { group: 0, transaction: 1 } as const;

export type CoordinatorKind = keyof typeof COORDINATORS;

export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** A transaction that is to be, or is, under way. */
export interface InTransaction extends ProducerIdentity {
  readonly transactionalId: string;
}

export interface ProduceBatch extends InTopic {
  readonly batch: Buffer;
}

export interface ProducedPartition extends InTopic {
  readonly errorCode: number;
  readonly baseOffset: number;
  /** Places in the batch of the records that the broker refuses, when it says which. */
  readonly refused: readonly number[];
}

/** At most one finished batch a partition, acknowledged by every in-sync replica. */
export function produce(
  transactionalId: string | undefined,
  batches: readonly ProduceBatch[],
): Call<ProducedPartition[]> {
  return {
    name: 'Produce',
    key: 0,
    version: 8,
    timeout: PRODUCE_TIMEOUT + GRACE,
    write: (to) => {
      to.nullableString(transactionalId).int16(ALL_REPLICAS).int32(PRODUCE_TIMEOUT);
      byTopic(to, batches, ({ partition, batch }) => to.int32(partition).bytes(batch));
    },
    read: (from) => ofTopics(from, (topic) => readProduced(from, topic)),
  };
}

function readProduced(from: WireReader, topic: string): ProducedPartition {
  const partition = from.int32();
  const errorCode = from.int16();
  const baseOffset = Number(from.int64());
  from.int64(); // time of the append
  from.int64(); // start of the log
  const refused = from.array(() => {
    const place = from.int32();
    from.string(); // the error in words
    return place;
  });
  from.string(); // the error in words
  return { topic, partition, errorCode, baseOffset, refused };
}

/** Address of the coordinator of a group or a transactional id. */
export function findCoordinator(kind: CoordinatorKind, key: string): Call<string> {
  return {
    name: 'FindCoordinator',
    key: 10,
    version: 2,
    timeout: LOOK_UP_TIMEOUT,
    write: (to) => to.string(key).int8(COORDINATORS[kind]),
    read: (from) => {
      from.int32(); // throttle time
      throwIfFailed(
        'FindCoordinator',
        from.int16(),
        kind === 'group' ? { group: key } : { transactionalId: key },
      );
      from.string(); // the error in words
      from.int32(); // node
      return addressOf(from.string(), from.int32());
    },
  };
}

/** @param timeout of its transactions, in ms */
export function initProducerId(transactionalId: string | undefined, timeout: number): Call<ProducerIdentity> {
  return {
    name: 'InitProducerId',
    key: 22,
    version: 1,
    timeout: COORDINATOR_TIMEOUT,
    write: (to) => to.nullableString(transactionalId).int32(timeout),
    read: (from) => {
      from.int32(); // throttle time
      throwIfFailed('InitProducerId', from.int16(), transactionalId === undefined ? {} : { transactionalId });
      return { producerId: from.int64(), producerEpoch: from.int16() };
    },
  };
}

export function addPartitionsToTransaction(of: InTransaction, partitions: readonly InTopic[]): Call<void> {
  return {
    name: 'AddPartitionsToTxn',
    key: 24,
    version: 2,
    timeout: COORDINATOR_TIMEOUT,
    write: (to) => {
      to.string(of.transactionalId).int64(of.producerId).int16(of.producerEpoch);
      byTopic(to, partitions, ({ partition }) => to.int32(partition));
    },
    read: (from) => {
      from.int32(); // throttle time
      const answers = ofTopics(from, (topic) => ({
        topic,
        partition: from.int32(),
        errorCode: from.int16(),
      }));
      // One partition that is refused makes Kafka leave out all others, which is no reason.
      const failed = answers.filter(({ errorCode }) => errorCode !== 0);
      const reason = failed.find(({ errorCode }) => errorCode !== code.OPERATION_NOT_ATTEMPTED) ?? failed[0];
      if (reason) {
        const { topic, errorCode } = reason;
        throw new ProtocolError('AddPartitionsToTxn', errorCode, {
          topic,
          transactionalId: of.transactionalId,
        });
      }
      for (const { topic, partition } of partitions) {
        if (!answers.some((answer) => answer.topic === topic && answer.partition === partition))
          throw new Error(`the answer to AddPartitionsToTxn lacks ${topic}/${partition}`);
      }
    },
  };
}

export function addOffsetsToTransaction(of: InTransaction, group: string): Call<void> {
  return {
    name: 'AddOffsetsToTxn',
    key: 25,
    version: 2,
    timeout: COORDINATOR_TIMEOUT,
    write: (to) => to.string(of.transactionalId).int64(of.producerId).int16(of.producerEpoch).string(group),
    read: (from) => {
      from.int32(); // throttle time
      throwIfFailed('AddOffsetsToTxn', from.int16(), { group, transactionalId: of.transactionalId });
    },
  };
}

/** Moves a group's offset when the transaction commits. To the coordinator of the group. */
export function commitOffsetInTransaction(
  of: InTransaction,
  group: string,
  { topic, partition, next }: InTopic & { readonly next: number },
): Call<void> {
  return {
    name: 'TxnOffsetCommit',
    key: 28,
    version: 2,
    timeout: COORDINATOR_TIMEOUT,
    write: (to) => {
      to.string(of.transactionalId).string(group).int64(of.producerId).int16(of.producerEpoch);
      byTopic(to, [{ topic, partition }], () => {
        to.int32(partition).int64(BigInt(next)).int32(NO_EPOCH).nullableString(undefined);
      });
    },
    read: (from) => {
      from.int32(); // throttle time
      const codes = ofTopics(from, () => {
        from.int32(); // partition
        return from.int16();
      });
      const [errorCode] = codes;
      if (errorCode === undefined) throw new Error('the answer to TxnOffsetCommit lacks the partition');
      throwIfFailed('TxnOffsetCommit', errorCode, { topic, group, transactionalId: of.transactionalId });
    },
  };
}

export function endTransaction(of: InTransaction, commit: boolean): Call<void> {
  return {
    name: 'EndTxn',
    key: 26,
    version: 2,
    timeout: COORDINATOR_TIMEOUT,
    write: (to) => to.string(of.transactionalId).int64(of.producerId).int16(of.producerEpoch).bool(commit),
    read: (from) => {
      from.int32(); // throttle time
      throwIfFailed('EndTxn', from.int16(), {
        transactionalId: of.transactionalId,
      });
    },
  };
}

/** Asks for the holder of a transactional id. Brokers know this call since 3.0; an older one closes the connection. */
export function describeTransaction(transactionalId: string): Call<ProducerIdentity> {
  return {
    name: 'DescribeTransactions',
    key: 65,
    version: 0,
    flexible: true,
    timeout: LOOK_UP_TIMEOUT,
    write: (to) => to.compactArray([transactionalId], (id) => to.compactString(id)).tags(),
    read: (from) => {
      from.int32(); // throttle time
      const [found] = from.compactArray(() => {
        const errorCode = from.int16();
        throwIfFailed('DescribeTransactions', errorCode, { transactionalId: from.compactString() });
        from.compactString(); // state
        from.int32(); // timeout
        from.int64(); // start
        return { producerId: from.int64(), producerEpoch: from.int16() };
      });
      if (!found) throw new Error('the answer to DescribeTransactions is empty');
      return found;
    },
  };
}

/** Next offset of a group in a partition, -1 when it never committed. Waits for no transaction: an open one is an error. */
export function fetchOffset(group: string, { topic, partition }: InTopic): Call<number> {
  return {
    name: 'OffsetFetch',
    key: 9,
    version: 7,
    flexible: true,
    timeout: COORDINATOR_TIMEOUT,
    write: (to) => {
      to.compactString(group);
      to.compactArray([topic], (name) => {
        to.compactString(name)
          .compactArray([partition], (number) => to.int32(number))
          .tags();
      });
      to.bool(true).tags(); // only what is decided
    },
    read: (from) => {
      from.int32(); // throttle time
      const [found] = from
        .compactArray(() => {
          from.compactString(); // topic
          const partitions = from.compactArray(() => readCommitted(from));
          from.tags();
          return partitions;
        })
        .flat();
      throwIfFailed('OffsetFetch', from.int16(), { group });
      if (!found) throw new Error('the answer to OffsetFetch lacks the partition');
      throwIfFailed('OffsetFetch', found.errorCode, { topic });
      return found.next;
    },
  };
}

function readCommitted(from: WireReader): { next: number; errorCode: number } {
  from.int32(); // partition
  const next = Number(from.int64());
  from.int32(); // leader's epoch
  from.compactString(); // metadata
  const errorCode = from.int16();
  from.tags();
  return { next, errorCode };
}
