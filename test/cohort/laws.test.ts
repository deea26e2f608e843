import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatInstant } from '../../src/fhir/instant.ts';
import { apply, blocksOf, keyOf, linesOf, parametersOf, sorted } from './exported.ts';
import type { ExportParameters } from '../../src/events/request.ts';
import { beginning, chapter, play, worldOf } from './history.ts';
import { answer } from './oracle.ts';
import type { Asked } from './oracle.ts';
import { instantOf } from './world.ts';

const RUNS = Number(process.env['HEADWATER_TEST_COHORT_RUNS'] ?? 150);

const types = fc.constantFrom<readonly string[]>(
  [],
  [],
  ['Observation', 'Patient'],
  ['Provenance'],
  ['Observation', 'Practitioner'],
  ['Appointment', 'Group', 'Practitioner', 'Provenance'],
);
const asked: fc.Arbitrary<Asked> = fc.oneof(
  fc.record({ level: fc.constant('patient' as const), types }),
  fc.record({
    level: fc.constant('patient' as const),
    types,
    patients: fc.constantFrom(['p1'], ['p1', 'p3']),
  }),
  fc.record({ level: fc.constant('group' as const), group: fc.constantFrom('g1', 'g2'), types }),
  fc.record({
    level: fc.constant('group' as const),
    group: fc.constant('g1'),
    types,
    patients: fc.constant(['p2']),
  }),
);

/** Everything that can be asked for besides whose and which types. */
const refined: fc.Arbitrary<Asked> = fc
  .record({
    one: fc.oneof(asked, fc.record({ level: fc.constant('system' as const), types })),
    provenance: fc.constantFrom('in-scope', 'in-scope', 'relevant', 'latest'),
    filters: fc.constantFrom<readonly string[]>(
      [],
      ['Observation?status=final'],
      ['Observation?status=final', 'Practitioner?active=true'],
      ['Observation?status=final', 'Observation?status=preliminary'],
    ),
    elements: fc.constantFrom<readonly string[]>([], ['Observation.status', 'id']),
  })
  .map(({ one, ...more }) => ({ ...one, ...more }));

/** Records in one zone. */
const zones = fc.constantFrom(Infinity, Infinity, 1, 2);

describe('exports of patients and groups', function () {
  this.timeout(600_000);

  it('hold what is in the compartments of those asked for, as of the cut, and what goes with it', async () => {
    const mode = fc.constantFrom('in-scope', 'in-scope', 'relevant', 'latest');
    await fc.assert(
      fc.asyncProperty(
        beginning,
        chapter,
        asked,
        mode,
        fc.constantFrom(2, 1_000),
        zones,
        async (first, second, one, provenance, taskRecords, zoneRecords) => {
          const world = worldOf(first, zoneRecords);
          play(world, second);
          const request = { ...one, provenance };
          const cut = world.cut();
          const exported = await world.export(cut, parametersOf(request), taskRecords);
          const expected = answer(world.rows, cut.time, request);
          assert.equal(exported.failed, expected.failed);
          if (expected.failed !== undefined) return;
          assert.deepEqual(sorted(linesOf(exported)), sorted(expected.lines));
          assert.deepEqual(exported.deleted, []);
          assert(
            !expected.nobody || exported.problems.some((text) => text.startsWith('warning ')),
            'an empty export says why',
          );
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('make up the full export, one _since after the other, whichever patients join, leave, move or go', async () => {
    await fc.assert(
      fc.asyncProperty(
        beginning,
        fc.array(chapter, { minLength: 1, maxLength: 3 }),
        refined,
        zones,
        fc.constantFrom('once', 'in two windows', 'after a reload'),
        async (first, later, one, zoneRecords, how) => {
          const world = worldOf(first, zoneRecords);
          let copy: { lines: ReadonlyMap<string, string>; time: string } | undefined;
          for (const [n, next] of [{ transactions: [] }, ...later].entries()) {
            if (how === 'after a reload' && n > 0) {
              world.pass(1);
              world.reload(next.transactions.flatMap(({ writes }) => writes));
            } else play(world, next);
            world.pass(1);
            const cut = world.cut();
            const full = await world.export(cut, parametersOf(one));
            if (full.failed === undefined) {
              let lines = linesOf(full);
              if (copy) {
                lines = new Map(copy.lines);
                const [from, to] = [copy.time, instantOf(cut)].map((text) => Date.parse(text));
                assert(from !== undefined && to !== undefined);
                const until = formatInstant(Math.floor((from + to) / 2));
                const windows: Partial<ExportParameters>[] =
                  how === 'in two windows' && to - from > 1
                    ? [{ ...parametersOf(one, copy.time), until }, parametersOf(one, until)]
                    : [parametersOf(one, copy.time)];
                for (const window of windows) {
                  const changes = await world.export(cut, window);
                  assert.equal(changes.failed, undefined);
                  lines = apply(lines, changes);
                }
                assert.deepEqual(sorted(lines), sorted(linesOf(full)));
              }
              copy = { lines, time: instantOf(cut) };
            } else if (copy)
              assert.equal((await world.export(cut, parametersOf(one, copy.time))).failed, full.failed);
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('are divided by _until and _since at any time between', async () => {
    await fc.assert(
      fc.asyncProperty(beginning, chapter, asked, zones, async (first, second, one, zoneRecords) => {
        const world = worldOf(first, zoneRecords);
        const time = world.cut().time;
        play(world, second);
        const cut = world.cut();
        const full = await world.export(cut, parametersOf(one));
        const early = await world.export(cut, { ...parametersOf(one), until: formatInstant(time) });
        const late = await world.export(cut, parametersOf(one, formatInstant(time)));
        assert.equal(early.failed, full.failed);
        assert.equal(late.failed, full.failed);
        const changedBy = (key: string): boolean => (world.rows.get(key)?.changedAt ?? Infinity) <= time;
        const [everything, before, after] = [full, early, late].map(linesOf);
        assert(everything && before && after);
        for (const key of before.keys()) assert(changedBy(key), `${key} changed after _until`);
        assert.deepEqual(sorted(new Map([...before, ...after])), sorted(everything));
        // A joiner's history and what is newly referred to is older, and a client with _since must get it.
        if (one.group === undefined && !one.types?.includes('Practitioner') && one.types?.length === 2)
          for (const key of after.keys()) assert(!before.has(key), `${key} is in both`);
        assert.deepEqual(early.deleted, []);
      }),
      { numRuns: RUNS },
    );
  });

  it('never say less when old versions have been compacted away, but of what moved and was changed again', async () => {
    await fc.assert(
      fc.asyncProperty(
        beginning,
        fc.array(chapter, { minLength: 1, maxLength: 2 }),
        asked,
        zones,
        async (first, later, one, zoneRecords) => {
          const world = worldOf(first, zoneRecords);
          const before = world.cut();
          const copy = await world.export(before, parametersOf(one));
          for (const next of later) play(world, next);
          world.compact();
          const cut = world.cut();
          const full = await world.export(cut, parametersOf(one));
          if (copy.failed !== undefined || full.failed !== undefined) return;
          const changes = await world.export(cut, parametersOf(one, instantOf(before)));
          const lines = apply(linesOf(copy), changes);
          const writes = later.flatMap(({ transactions }) => transactions.flatMap((each) => each.writes));
          const often = (key: string): boolean =>
            writes.filter(({ type, id }) => key === `${type}/${id}`).length > 1;
          const known = linesOf(full);
          for (const key of [...lines.keys()]) {
            if (known.has(key) || !(often(key) || /^(Provenance|Practitioner)/.test(key))) continue;
            lines.delete(key);
          }
          assert.deepEqual(sorted(lines), sorted(known));
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('make up the full export after a reload, whatever happened while nothing was followed', async () => {
    await fc.assert(
      fc.asyncProperty(
        beginning,
        chapter,
        chapter,
        asked,
        zones,
        async (first, unseen, later, one, zoneRecords) => {
          const world = worldOf(first, zoneRecords);
          const before = world.cut();
          const copy = await world.export(before, parametersOf(one));
          world.pass(5);
          const writes = unseen.transactions.flatMap((each) => each.writes);
          world.reload(writes);
          play(world, later);
          const cut = world.cut();
          const full = await world.export(cut, parametersOf(one));
          const expected = answer(world.rows, cut.time, one);
          assert.equal(full.failed, expected.failed);
          if (expected.failed !== undefined) return;
          const known = linesOf(full);
          assert.deepEqual(sorted(known), sorted(expected.lines));
          if (copy.failed !== undefined) return;
          const changes = await world.export(cut, parametersOf(one, instantOf(before)));
          const lines = apply(linesOf(copy), changes);
          assert.deepEqual(sorted(lines), sorted(known));
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('make up the full export after a reload when the versions before it are compacted away', async () => {
    await fc.assert(
      fc.asyncProperty(beginning, chapter, asked, zones, async (first, unseen, one, zoneRecords) => {
        const world = worldOf(first, zoneRecords);
        const before = world.cut();
        const copy = await world.export(before, parametersOf(one));
        world.pass(5);
        world.reload(unseen.transactions.flatMap((each) => each.writes));
        world.compact();
        const cut = world.cut();
        const full = await world.export(cut, parametersOf(one));
        if (copy.failed !== undefined || full.failed !== undefined) return;
        const lines = apply(linesOf(copy), await world.export(cut, parametersOf(one, instantOf(before))));
        const known = linesOf(full);
        // What comes along because of other resources is not reported once their older versions are gone.
        for (const key of [...lines.keys()])
          if (!known.has(key) && /^(Provenance|Practitioner)/.test(key)) lines.delete(key);
        assert.deepEqual(sorted(lines), sorted(known));
      }),
      { numRuns: RUNS },
    );
  });

  it('have in the blocks of organized output, patient by patient, what they have without', async () => {
    const some = asked.filter(({ types: named = [] }) => !named.includes('Practitioner'));
    await fc.assert(
      fc.asyncProperty(beginning, chapter, some, async (first, second, one) => {
        const world = worldOf(first, Infinity);
        const time = instantOf(world.cut());
        play(world, second);
        const cut = world.cut();
        const expected = answer(world.rows, cut.time, one);
        for (const since of [undefined, time]) {
          const plain = await world.export(cut, parametersOf(one, since));
          const organized = await world.export(cut, { ...parametersOf(one, since), organizeBy: 'Patient' });
          assert.equal(organized.failed, expected.failed);
          if (expected.failed !== undefined) return;
          const blocks = blocksOf(organized);
          const lines = linesOf(plain);
          // The group asked for is everyone's, and a Provenance of a patient's resource names no patient: not in any block.
          const owned = [...lines].flatMap(([key, line]) =>
            one.group !== undefined && key.startsWith('Group/')
              ? []
              : (expected.owners.get(key) ?? []).map((owner) => `${owner} ${line}`),
          );
          const found = [...blocks].flatMap(([owner, block]) => block.map((line) => `${owner} ${line}`));
          assert.deepEqual(found.sort(), owned.sort());
          for (const [owner, block] of blocks)
            assert.equal(
              block.findIndex((line) => keyOf(line) === `Patient/${owner}`),
              lines.has(`Patient/${owner}`) ? 0 : -1,
              'the patient is first',
            );
          const reported = organized.deleted.length + organized.problems.length;
          assert.equal(organized.count - reported, found.length, 'headers do not count');
          assert.equal(new Set(organized.deleted).size, organized.deleted.length);
        }
      }),
      { numRuns: RUNS },
    );
  });
});
