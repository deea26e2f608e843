import assert from 'node:assert/strict';
import fc from 'fast-check';
import { lsn, offset, stamp } from '../../src/base/positions.ts';
import type { Offset } from '../../src/base/positions.ts';
import { plan } from '../../src/plan/plan.ts';
import type { ExportCommand, PlanSettings, Since } from '../../src/plan/plan.ts';
import { EVERYTHING } from '../../src/events/request.ts';

const MIB = 1 << 20;
const SETTINGS: PlanSettings = { taskBytes: 64 * MIB, quickBytes: 16 * MIB, parallelism: 4, layout: 'flat' };

type Ends = Readonly<Record<string, readonly number[]>>;

function command(
  ends: Ends,
  given: { types?: string[]; since?: string; meanBytes?: number } = {},
): ExportCommand {
  const offsets = Object.entries(ends).map(([type, list]) => [type, list.map(offset)] as const);
  return {
    kind: 'ExportRequested',
    jobId: 'job-1',
    clientId: 'client-1',
    acceptedAt: 1_000,
    requestUrl: 'http://127.0.0.1/fhir/$export',
    parameters: { ...EVERYTHING, types: given.types ?? [], since: given.since },
    cut: {
      lsn: lsn(99n),
      time: stamp(Date.parse('2025-03-04T05:06:07.089Z')),
      ends: new Map(offsets),
      meanBytes: new Map(Object.keys(ends).map((type) => [type, given.meanBytes ?? 1_000])),
    },
  };
}

const at = (time: number, from: Ends): Since => ({
  time,
  from: new Map(Object.entries(from).map(([type, list]) => [type, list.map(offset)])),
});

const places = (ranges: readonly { type: string; partition: number; from: Offset; to: Offset }[]): string[] =>
  ranges.map(({ type, partition, from, to }) => `${type}/${partition} ${from}-${to}`);

describe('plan', () => {
  it('reads every type of the cut when none is named, leaving out what is empty', () => {
    const { tasks } = plan(command({ Patient: [3, 0], Observation: [5, 7] }), SETTINGS, 5);
    assert.equal(tasks.length, 1);
    assert.deepEqual(places(tasks[0]?.ranges ?? []), [
      'Observation/0 0-5',
      'Observation/1 0-7',
      'Patient/0 0-3',
    ]);
    assert.equal(tasks[0]?.plannedBytes, 15_000);
  });

  it('reads Binary when no type is named only if it was asked to', () => {
    const everything = command({ Binary: [3], Patient: [2] });
    const without = { ...everything, parameters: { ...everything.parameters, binary: false } };
    const named = { ...without, parameters: { ...without.parameters, types: ['Binary'] } };
    assert.deepEqual(places(plan(everything, SETTINGS, 5).tasks[0]?.ranges ?? []), [
      'Binary/0 0-3',
      'Patient/0 0-2',
    ]);
    assert.deepEqual(places(plan(without, SETTINGS, 5).tasks[0]?.ranges ?? []), ['Patient/0 0-2']);
    assert.deepEqual(places(plan(named, SETTINGS, 5).tasks[0]?.ranges ?? []), ['Binary/0 0-3']);
  });

  it('reads the named types only, and nothing for one that the log does not hold', () => {
    const { tasks } = plan(
      command({ Patient: [3], Observation: [5] }, { types: ['Patient', 'Goal'] }),
      SETTINGS,
      5,
    );
    assert.deepEqual(
      tasks.map((task) => places(task.ranges)),
      [['Patient/0 0-3']],
    );
    assert.deepEqual(plan(command({ Patient: [3] }, { types: ['Goal'] }), SETTINGS, 5).tasks, []);
  });

  it('starts at the offsets of _since and leaves out what has not changed', () => {
    const since = at(700, { Patient: [3, 1], Observation: [9] });
    const { tasks } = plan(command({ Patient: [3, 4], Observation: [5] }), SETTINGS, 5, { since });
    assert.deepEqual(
      tasks.map((task) => places(task.ranges)),
      [['Patient/1 1-4']],
    );
    assert.equal(tasks[0]?.filter.since, 700);
  });

  it('reads a partition that is younger than _since from its beginning', () => {
    const { tasks } = plan(command({ Patient: [3, 4] }), SETTINGS, 5, {
      since: at(700, { Patient: [3] }),
    });
    assert.deepEqual(
      tasks.map((task) => places(task.ranges)),
      [['Patient/1 0-4']],
    );
  });

  it('warns when _since is from before the log began', () => {
    const given = command({ Patient: [3] });
    const cut = { ...given.cut, epoch: { id: 'e1', began: stamp(700) } };
    const warnings = (since: number): readonly string[] =>
      plan({ ...given, cut }, SETTINGS, 5, { since: at(since, {}) }).tasks[0]?.warnings ?? [];
    assert.match(warnings(699)[0] ?? '', /^_since: .*epoch e1.* by an export without _since\.$/);
    assert.deepEqual(warnings(700), []);
  });

  it('tells the whole plan in one event and names the folder by the time of the cut', () => {
    const given = command({ Patient: [3] });
    const { planned, tasks } = plan(given, SETTINGS, 5);
    assert.deepEqual(planned, {
      kind: 'ExportPlanned',
      jobId: 'job-1',
      at: 5,
      clientId: 'client-1',
      acceptedAt: 1_000,
      requestUrl: given.requestUrl,
      parameters: given.parameters,
      folder: '20250304T050607Z_job-1',
      transactionTime: given.cut.time,
      lsn: 99n,
      tasks: [{ taskId: '0001', lane: 'quick', plannedBytes: 3_000 }],
    });
    assert.equal(tasks[0]?.folder, planned.folder);
  });

  it('keeps small types together and each of them whole, and divides a large one by partitions', () => {
    const ends = {
      Account: [10_000],
      Basic: [10_000, 10_000],
      Claim: [30_000, 30_000, 30_000],
      Device: [10_000],
    };
    const { tasks } = plan(command(ends), { ...SETTINGS, taskBytes: 30_000_000, parallelism: 1 }, 5);
    const types = tasks.map((task) =>
      task.ranges.map(({ type, partition }) => `${type}/${partition}`).join(' '),
    );
    assert.deepEqual(types, ['Account/0 Basic/0 Basic/1', 'Claim/0', 'Claim/1', 'Claim/2', 'Device/0']);
  });

  it('gives every thread a task when the export is worth it', () => {
    const skewed = command({ Account: [90_000], Basic: [300, 300], Claim: [300] });
    assert.equal(plan(skewed, { ...SETTINGS, taskBytes: 1 << 30 }, 5).tasks.length, 4);
    assert.equal(plan(command({ Account: [300, 300, 300, 300] }), SETTINGS, 5).tasks.length, 1);
  });

  it('puts all tasks of a job into one lane, by the bytes of the job', () => {
    const lanes = (records: number): string[] => [
      ...new Set(
        plan(command({ Account: [10], Basic: [records] }), SETTINGS, 5).tasks.map((task) => task.lane),
      ),
    ];
    assert.deepEqual(lanes(1_000), ['quick']);
    assert.deepEqual(lanes(20_000), ['bulk']);
  });

  const anyEnds = fc.dictionary(
    fc.constantFrom('Account', 'Basic', 'Claim', 'Device', 'Encounter', 'Patient'),
    fc.array(fc.nat(2_000), { minLength: 1, maxLength: 8 }),
    { maxKeys: 6 },
  );
  const anySettings = fc.record({
    taskBytes: fc.integer({ min: 1, max: 20_000_000 }),
    quickBytes: fc.nat(10_000_000),
    parallelism: fc.integer({ min: 1, max: 9 }),
    layout: fc.constant('flat' as const),
  });

  it('divides the ranges exactly, within bounds, whatever they are', () => {
    fc.assert(
      fc.property(
        anyEnds,
        anyEnds,
        anySettings,
        fc.integer({ min: 1, max: 5_000 }),
        (ends, from, settings, meanBytes) => {
          const { tasks } = plan(command(ends, { meanBytes }), settings, 5, { since: at(1, from) });
          const expected = Object.keys(ends)
            .sort()
            .flatMap((type) =>
              (ends[type] ?? []).flatMap((to, partition) => {
                const start = from[type]?.[partition] ?? 0;
                return start < to ? [`${type}/${partition} ${start}-${to}`] : [];
              }),
            );
          assert.deepEqual(
            tasks.flatMap((task) => places(task.ranges)),
            expected,
          );
          for (const task of tasks) {
            assert.ok(task.ranges.length === 1 || task.plannedBytes <= settings.taskBytes);
            const bytes = task.ranges.reduce((sum, range) => sum + (range.to - range.from) * meanBytes, 0);
            assert.equal(task.plannedBytes, bytes);
          }
          const total = tasks.reduce((sum, task) => sum + task.plannedBytes, 0);
          if (total >= 4 * MIB) assert.ok(tasks.length >= Math.min(settings.parallelism, expected.length));
          assert.deepEqual(new Set(tasks.map((task) => task.taskId)).size, tasks.length);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('gives the same tasks for the same command, in whatever order the cut names the types', () => {
    fc.assert(
      fc.property(anyEnds, anySettings, (ends, settings) => {
        const reversed = Object.fromEntries(Object.entries(ends).reverse());
        assert.deepEqual(plan(command(ends), settings, 5), plan(command(ends), settings, 5));
        assert.deepEqual(plan(command(reversed), settings, 5).tasks, plan(command(ends), settings, 5).tasks);
      }),
    );
  });
});
