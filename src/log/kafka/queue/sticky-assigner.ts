import kafkajs from 'kafkajs';
import type { PartitionAssigner } from 'kafkajs';
import type { Partition } from '../../log.ts';

const VERSION = 0;
const NAME = 'headwater-sticky';

/** A member of a consumer group and what it worked on before. */
export interface Holder {
  readonly id: string;
  readonly held: readonly Partition[];
}

/**
 * Spreads partitions evenly over members and moves as few as possible: a partition that moves loses the work a handler has
 * put into its record, and a task can take many minutes. Same input, same result.
 */
export function assignSticky(
  partitions: readonly Partition[],
  members: readonly Holder[],
): Map<string, Partition[]> {
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : 1));
  const assigned = new Map<string, Partition[]>(sorted.map(({ id }) => [id, []]));
  const quota = Math.ceil(partitions.length / sorted.length);
  const full = partitions.length % sorted.length || sorted.length; // members that may have the whole quota
  const free = new Map(partitions.map((partition) => [keyOf(partition), partition]));
  let filled = 0;
  for (const { id, held } of sorted) {
    const list = assigned.get(id) ?? [];
    for (const partition of held) {
      const limit = filled < full ? quota : quota - 1;
      if (list.length < limit && free.delete(keyOf(partition))) list.push(partition);
    }
    if (list.length === quota) filled++;
  }
  for (const partition of free.values()) {
    const [least] = [...assigned.values()].sort((a, b) => a.length - b.length);
    least?.push(partition);
  }
  return assigned;
}

function keyOf({ topic, partition }: Partition): string {
  return `${topic}/${partition}`;
}

/** The assignment for a kafkajs consumer; `held` tells what it works on at the time it (re)joins. */
export function stickyAssigner(held: () => readonly Partition[]): PartitionAssigner {
  const { MemberMetadata, MemberAssignment } = kafkajs.AssignerProtocol;
  return ({ cluster }) => ({
    name: NAME,
    version: VERSION,
    protocol: ({ topics }) => ({
      name: NAME,
      metadata: MemberMetadata.encode({
        version: VERSION,
        topics,
        userData: Buffer.from(JSON.stringify(held())),
      }),
    }),
    assign: ({ members, topics }) => {
      const partitions = topics.flatMap((topic) =>
        cluster
          .findTopicPartitionMetadata(topic)
          .map(({ partitionId }) => ({ topic, partition: partitionId })),
      );
      const holders = members.map(({ memberId, memberMetadata }) => ({
        id: memberId,
        held: parseHeld(MemberMetadata.decode(memberMetadata)?.userData),
      }));
      const assignments = [...assignSticky(partitions, holders)].map(([memberId, list]) => ({
        memberId,
        memberAssignment: MemberAssignment.encode({
          version: VERSION,
          assignment: byTopic(list),
          userData: Buffer.alloc(0),
        }),
      }));
      return Promise.resolve(assignments);
    },
  });
}

function byTopic(partitions: readonly Partition[]): Record<string, number[]> {
  const groups = Map.groupBy(partitions, ({ topic }) => topic);
  return Object.fromEntries(
    [...groups].map(([topic, list]) => [topic, list.map(({ partition }) => partition)]),
  );
}

/** Reads the preference of a member. If it cannot be read, there is none. */
function parseHeld(userData: Buffer | undefined): readonly Partition[] {
  try {
    return JSON.parse(userData?.toString() ?? '[]') as readonly Partition[];
  } catch {
    return [];
  }
}
