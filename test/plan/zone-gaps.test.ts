import assert from 'node:assert/strict';
import fc from 'fast-check';
import { offset, stamp } from '../../src/base/positions.ts';
import { hash32 } from '../../src/base/hash32.ts';
import { UNKNOWN_PATIENT } from '../../src/events/zone.ts';
import type { Zone } from '../../src/events/zone.ts';
import { partsOf } from '../../src/events/task-range.ts';
import type { StoredRecord } from '../../src/log/log.ts';
import { ZoneFilter, ZoneGaps } from '../../src/plan/zone-gaps.ts';

const MEGABYTE = 1 << 20;
const nobody = new AbortController().signal;

function zone(from: number, to: number, ...patients: string[]): Zone {
  const hashes = Uint32Array.from(new Set(patients.map(hash32))).sort();
  return { type: 'Observation', partition: 0, from: offset(from), to: offset(to), patients: hashes };
}

/** Reads zones from a log that holds these, the first of them at an offset above 0. */
function gapsOf(zones: readonly Zone[], filter: ZoneFilter): Promise<ZoneGaps> {
  const reader = {
    offsetsAt: async () => [offset(7)],
    ends: async () => [offset(7 + zones.length)],
    async *read({ from, to }: { from: number; to: number }): AsyncGenerator<readonly StoredRecord[]> {
      assert.deepEqual([from, to], [7, 7 + zones.length]);
      yield zones.map((_, i) => {
        const value = Buffer.from([i]);
        return { offset: offset(7 + i), timestamp: stamp(1), key: Buffer.from('Observation'), value };
      });
    },
  };
  const decode = (value: Buffer): Zone => zones[value[0] ?? 0] ?? assert.fail();
  return ZoneGaps.read({ reader, decode, topic: 'hw.zones' }, filter, nobody);
}

const range = { type: 'Observation', partition: 0, from: offset(0), to: offset(50) };

describe('gaps between zones', () => {
  const members = (...ids: string[]): ReadonlySet<string> => new Set(ids);

  it('hold no patient of the cohort, and are joined where they touch', async () => {
    const filter = new ZoneFilter({ members: members('a'), before: members('a') }, new Map());
    const zones = [
      zone(0, 10, 'x'),
      zone(10, 20, 'y'),
      zone(20, 30, 'a'),
      zone(30, 40, 'x'),
      zone(41, 50, 'x'),
    ];
    const gaps = await gapsOf(zones, filter);
    assert.deepEqual(gaps.empty(range, MEGABYTE), [
      { from: 0, to: 20 },
      { from: 30, to: 40 },
      { from: 41, to: 50 },
    ]);
  });

  it('are left out only where that is cheaper than to read on', async () => {
    const filter = new ZoneFilter({ members: members('a'), before: members('a') }, new Map());
    const gaps = await gapsOf([zone(0, 10, 'x'), zone(20, 120, 'x')], filter);
    assert.deepEqual(gaps.empty({ ...range, to: offset(130) }, 10_000), [{ from: 20, to: 120 }]);
  });

  it('hold, before since, no patient who joined or left', async () => {
    const since = new Map([['Observation', [offset(25)]]]);
    const cohort = { members: members('stays', 'joined'), before: members('stays', 'left') };
    const zones = [
      zone(0, 15, 'stays'),
      zone(16, 18, 'joined'),
      zone(18, 20, 'left'),
      zone(22, 30, 'stays'),
      zone(32, 70, 'x'),
    ];
    const gaps = await gapsOf(zones, new ZoneFilter(cohort, since));
    const whole = { ...range, to: offset(70) };
    assert.deepEqual(gaps.known(whole, MEGABYTE), [
      { from: 0, to: 15 },
      { from: 32, to: 70 },
    ]);
    assert.deepEqual(gaps.empty(whole, MEGABYTE), [{ from: 32, to: 70 }]);
  });

  it('are none where most of a range has to be read anyway', async () => {
    const cohort = { members: members('a'), before: members('a') };
    const gaps = await gapsOf([zone(0, 24, 'x'), zone(24, 50, 'a')], new ZoneFilter(cohort, new Map()));
    assert.deepEqual(gaps.empty(range, MEGABYTE), []);
  });

  it('never hold what may be anybody’s', async () => {
    const gaps = await gapsOf(
      [zone(0, 10, 'x', UNKNOWN_PATIENT)],
      new ZoneFilter({ members: members('a'), before: members('a') }, new Map()),
    );
    assert.deepEqual(gaps.empty(range, MEGABYTE), []);
  });

  it('leave no record of a member out, whatever the zones', async () => {
    const patient = fc.constantFrom('a', 'b', 'c', 'x', 'y', 'z', '');
    const records = fc.array(patient, { minLength: 1, maxLength: 80 });
    await fc.assert(
      fc.asyncProperty(records, fc.integer({ min: 1, max: 9 }), fc.nat(80), async (owners, size, to) => {
        const zones: Zone[] = [];
        for (let at = 0; at < owners.length; at += size)
          zones.push(zone(at, Math.min(owners.length, at + size), ...owners.slice(at, at + size)));
        const gaps = await gapsOf(
          zones,
          new ZoneFilter({ members: members('a'), before: members('b') }, new Map()),
        );
        const asked = { ...range, to: offset(Math.min(to, owners.length)) };
        const parts = partsOf({ ...asked, gaps: gaps.empty(asked, MEGABYTE) });
        owners.slice(0, asked.to).forEach((owner, at) => {
          if (!['a', 'b', ''].includes(owner)) return;
          assert.ok(
            parts.some((part) => part.from <= at && at < part.to),
            `${owner} at ${at}`,
          );
        });
      }),
    );
  });

  it('hold, of everybody, what is older than since and of somebody known', async () => {
    const since = new Map([['Observation', [offset(25)]]]);
    const filter = new ZoneFilter({ members: undefined, before: undefined }, since);
    const zones = [zone(0, 20, 'x'), zone(20, 22, UNKNOWN_PATIENT), zone(22, 30, 'y')];
    const gaps = await gapsOf(zones, filter);
    const whole = { ...range, to: offset(30) };
    assert.deepEqual(gaps.known(whole, MEGABYTE), [{ from: 0, to: 20 }]);
    assert.deepEqual(gaps.empty(whole, MEGABYTE), []);
  });
});
