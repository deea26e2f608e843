import kafkajs from 'kafkajs';
import type { Admin, PartitionMetadata } from 'kafkajs';
import type { BrokerId } from './broker-properties.ts';
import type { Brokers } from './brokers.ts';
import { until } from './until.ts';

/** The topics in which coordinators keep what they coordinate: a partition's leader coordinates what hashes to it. */
const COORDINATORS = { group: '__consumer_offsets', transaction: '__transaction_state' } as const;

interface Move {
  readonly from: BrokerId;
  readonly to: BrokerId;
}

/** Moves a partition's leader to another broker, and then lets the old one have a copy again. */
export function moveLeader(brokers: Brokers, topic: string, partition: number): Promise<Move> {
  return administer(brokers, async (admin) => {
    const { leader, replicas } = await partitionOf(admin, topic, partition);
    const others = replicas.filter((id) => id !== leader);
    await reassign(admin, topic, partition, others);
    const moved = await until(`partition ${partition} of ${topic} to have another leader`, async () => {
      const now = await partitionOf(admin, topic, partition);
      return now.leader !== leader && others.includes(now.leader) ? now.leader : undefined;
    });
    await reassign(admin, topic, partition, [moved, ...others.filter((id) => id !== moved), leader]);
    return { from: leader as BrokerId, to: moved as BrokerId };
  });
}

/** Moves the coordinator of a consumer group or of a transactional id. It must have been used before. */
export async function moveCoordinator(
  brokers: Brokers,
  kind: keyof typeof COORDINATORS,
  id: string,
): Promise<Move> {
  const topic = COORDINATORS[kind];
  const partitions = await partitionsOf(brokers, topic);
  return moveLeader(brokers, topic, (javaHash(id) & 0x7fffffff) % partitions.length);
}

/** Every partition of the topics whose name begins so. */
export function partitionsOfTopics(
  brokers: Brokers,
  prefix: string,
): Promise<{ readonly topic: string; readonly partition: number }[]> {
  return administer(brokers, async (admin) => {
    const { topics } = await admin.fetchTopicMetadata();
    return topics
      .filter(({ name }) => name.startsWith(prefix))
      .flatMap(({ name: topic, partitions }) =>
        partitions.map(({ partitionId: partition }) => ({ topic, partition })),
      );
  });
}

export async function leaderOf(brokers: Brokers, topic: string, partition: number): Promise<BrokerId> {
  return administer(brokers, async (admin) => {
    const { leader } = await partitionOf(admin, topic, partition);
    return leader as BrokerId;
  });
}

/** @public */
export async function coordinatorOf(
  brokers: Brokers,
  kind: keyof typeof COORDINATORS,
  id: string,
): Promise<BrokerId> {
  const partitions = await partitionsOf(brokers, COORDINATORS[kind]);
  return leaderOf(brokers, COORDINATORS[kind], (javaHash(id) & 0x7fffffff) % partitions.length);
}

/** Resolves when each partition has all its copies, so that one more broker can be taken away and nothing is lost. */
export function inSync(brokers: Brokers): Promise<void> {
  return administer(brokers, async (admin) => {
    await until('every partition to have all its copies', async () => {
      const { topics } = await admin.fetchTopicMetadata();
      const lacking = topics.flatMap(({ name, partitions }) =>
        partitions
          .filter(({ isr, replicas, leader }) => leader < 0 || isr.length < replicas.length)
          .map(({ partitionId, isr }) => `${name}/${partitionId} in sync at ${isr.join()}`),
      );
      if (lacking.length > 0) throw new Error(lacking.join('; '));
      return true;
    });
  });
}

/** As Java hashes a string, by which Kafka finds the partition of a coordinator. */
function javaHash(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(31, hash) + text.charCodeAt(i)) | 0;
  return hash;
}

/** Does something by brokers that answer. An error may be that of a broker that has just gone: it is tried again. */
async function administer<T>(brokers: Brokers, work: (admin: Admin) => Promise<T>): Promise<T> {
  const { answer } = await until('an answer of the brokers', async () => {
    const kafka = new kafkajs.Kafka({
      brokers: [...brokers.answering],
      connectionTimeout: 2_000,
      requestTimeout: 5_000,
      retry: { retries: 2 },
      logLevel: kafkajs.logLevel.NOTHING,
    });
    const admin = kafka.admin();
    try {
      await admin.connect();
      return { answer: await work(admin) };
    } finally {
      await admin.disconnect();
    }
  });
  return answer;
}

async function partitionsOf(brokers: Brokers, topic: string): Promise<PartitionMetadata[]> {
  return administer(brokers, async (admin) => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    return topics[0]?.partitions ?? [];
  });
}

async function partitionOf(admin: Admin, topic: string, partition: number): Promise<PartitionMetadata> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const found = topics[0]?.partitions.find(({ partitionId }) => partitionId === partition);
  if (found && found.leader >= 0) return found;
  throw new Error(`partition ${partition} of ${topic} has no leader`);
}

async function reassign(admin: Admin, topic: string, partition: number, replicas: number[]): Promise<void> {
  await admin.alterPartitionReassignments({
    topics: [{ topic, partitionAssignment: [{ partition, replicas }] }],
    timeout: 10_000,
  });
}
