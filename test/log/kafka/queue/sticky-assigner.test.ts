import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Partition } from '../../../../src/log/log.ts';
import { assignSticky } from '../../../../src/log/kafka/queue/sticky-assigner.ts';

const keyOf = ({ topic, partition }: Partition): string => `${topic}/${partition}`;
const partitionsOf = (count: number): Partition[] =>
  Array.from({ length: count }, (_, i) => ({ topic: i % 2 ? 'a' : 'b', partition: i >> 1 }));

/** Members that hold any partitions at all, also the same one twice or one that is no more. */
const groups = fc.integer({ min: 0, max: 20 }).chain((count) =>
  fc.record({
    partitions: fc.constant(partitionsOf(count)),
    members: fc.uniqueArray(
      fc.record({
        id: fc.uuid(),
        held: fc.subarray([...partitionsOf(count), { topic: 'gone', partition: 0 }]),
      }),
      { minLength: 1, maxLength: 6, selector: ({ id }) => id },
    ),
  }),
);

describe('assignSticky', () => {
  it('gives every partition to exactly one member, evenly', () => {
    fc.assert(
      fc.property(groups, ({ partitions, members }) => {
        const assigned = assignSticky(partitions, members);
        const given = [...assigned.values()].flat().map(keyOf).sort();
        assert.deepEqual(given, partitions.map(keyOf).sort());
        const sizes = [...assigned.values()].map((list) => list.length);
        assert.equal(sizes.length, members.length);
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, sizes.join());
      }),
    );
  });

  it('depends on who the members are, not on their order', () => {
    fc.assert(
      fc.property(groups, ({ partitions, members }) => {
        assert.deepEqual(
          [...assignSticky(partitions, members)].sort(),
          [...assignSticky(partitions, members.toReversed())].sort(),
        );
      }),
    );
  });

  it('moves nothing when no member comes or goes', () => {
    fc.assert(
      fc.property(groups, ({ partitions, members }) => {
        const before = assignSticky(partitions, members);
        const after = assignSticky(
          partitions,
          members.map(({ id }) => ({ id, held: before.get(id) ?? [] })),
        );
        for (const [id, list] of before)
          assert.deepEqual(after.get(id)?.map(keyOf).sort(), list.map(keyOf).sort());
      }),
    );
  });

  it('moves only what a newcomer is due', () => {
    const partitions = partitionsOf(16);
    const before = assignSticky(partitions, [{ id: 'a', held: [] }, { id: 'b', held: [] }]); // prettier-ignore
    const after = assignSticky(partitions, [
      { id: 'a', held: before.get('a') ?? [] },
      { id: 'b', held: before.get('b') ?? [] },
      { id: 'c', held: [] },
    ]);
    const kept = (id: string): number =>
      (after.get(id) ?? []).filter((p) => (before.get(id) ?? []).some((q) => keyOf(p) === keyOf(q))).length;
    assert.equal(kept('a') + kept('b'), 11);
    assert.equal(after.get('c')?.length, 5);
  });
});
