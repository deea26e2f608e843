import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ZoneWriter } from '../../src/capture/zone-writer.ts';
import { hash32 } from '../../src/base/hash32.ts';
import type { Zone } from '../../src/events/zone.ts';

describe('zones', () => {
  it('cover what was stored, in order and apart, and name everybody who is in them', () => {
    const batch = fc.record({
      partition: fc.nat(2),
      count: fc.integer({ min: 1, max: 50 }),
      bytes: fc.integer({ min: 1, max: 300_000 }),
      patients: fc.uniqueArray(fc.nat(700), { maxLength: 300 }),
      marker: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(batch, { maxLength: 60 }), (batches) => {
        const zones: Zone[] = [];
        const writer = new ZoneWriter((zone) => zones.push(zone));
        const ends = [0, 0, 0];
        const stored: {
          partition: number;
          from: number;
          to: number;
          bytes: number;
          patients: Set<string>;
        }[] = [];
        for (const { partition, count, bytes, patients, marker } of batches) {
          const from = (ends[partition] ?? 0) + (marker ? 1 : 0);
          const to = (ends[partition] = from + count);
          const one = { partition, from, to, bytes, patients: new Set(patients.map((n) => `p${n}`)) };
          stored.push(one);
          writer.stored('Observation', { topic: 'hw.resources.Observation', ...one });
        }
        writer.close();
        for (const zone of zones) {
          assert.deepEqual(
            [...zone.patients],
            [...new Set(zone.patients)].sort((a, b) => a - b),
          );
          const inside = stored.filter(
            ({ partition, from, to }) => partition === zone.partition && from >= zone.from && to <= zone.to,
          );
          const first = Math.min(...inside.map(({ from }) => from));
          assert.ok(zone.from === first || zone.from === first - 1, 'from the marker before it');
          const reached = stored.filter(
            (one) => one.partition === zone.partition && one.to > zone.from && one.from < zone.to,
          );
          assert.equal(reached.length, inside.length, 'whole batches');
          assert.equal(Math.max(...inside.map(({ to }) => to)), zone.to);
          const named = new Set(inside.flatMap(({ patients }) => [...patients].map(hash32)));
          assert.deepEqual(new Set(zone.patients), named);
          const beforeLast = inside.slice(0, -1).reduce((sum, one) => sum + one.bytes, 0);
          assert.ok(beforeLast < 96 << 10, 'a zone ends when it is large');
        }
        for (const partition of [0, 1, 2]) {
          const own = zones.filter((zone) => zone.partition === partition);
          own.forEach((zone, i) => assert.ok(i === 0 || (own[i - 1]?.to ?? 0) <= zone.from, 'apart'));
          // Left out is nothing but what is about too many.
          let left = new Set<string>();
          for (const one of stored.filter((batch) => batch.partition === partition)) {
            if (!own.some(({ from, to }) => from <= one.from && one.to <= to))
              left = new Set([...left, ...one.patients]);
            else {
              assert.ok(left.size === 0 || left.size > 512, 'covered');
              left = new Set();
            }
          }
          assert.ok(left.size === 0 || left.size > 512, 'covered');
        }
      }),
    );
  });

  it('are not written for types that are about no patient, nor for stretches about too many patients', () => {
    const zones: Zone[] = [];
    const writer = new ZoneWriter((zone) => zones.push(zone));
    const batch = { topic: 't', partition: 0, from: 0, to: 9, bytes: 1_000_000 };
    writer.stored('Medication', { ...batch, patients: undefined });
    const many = new Set(Array.from({ length: 600 }, (_, n) => `p${n}`));
    writer.stored('Observation', { ...batch, patients: many });
    writer.close();
    assert.deepEqual(zones, []);
  });
});
