import assert from 'node:assert/strict';
import { lsn, offset, stamp } from '../../src/base/positions.ts';
import type { Cohort } from '../../src/cohort/cohort.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import type { ExportParameters } from '../../src/events/request.ts';
import type { TaskRange } from '../../src/events/tasks.ts';
import { plan } from '../../src/plan/plan.ts';
import type { ExportCommand, Findings, PlanSettings } from '../../src/plan/plan.ts';

const SETTINGS: PlanSettings = { taskBytes: 1 << 30, quickBytes: 1 << 20, parallelism: 1, layout: 'flat' };
const HELD = ['Group', 'Medication', 'Observation', 'Organization', 'Patient', 'Practitioner', 'Provenance'];

function command(parameters: Partial<ExportParameters>, held: readonly string[] = HELD): ExportCommand {
  return {
    kind: 'ExportRequested',
    jobId: 'job',
    clientId: 'client',
    acceptedAt: 1,
    requestUrl: 'http://127.0.0.1/fhir/$export',
    parameters: { ...EVERYTHING, ...parameters },
    cut: {
      lsn: lsn(9n),
      time: stamp(9_000),
      ends: new Map(held.map((type) => [type, [offset(10)]])),
      meanBytes: new Map(held.map((type) => [type, 100])),
    },
  };
}

function cohortOf(members: readonly string[] | undefined, before = members): Cohort {
  const now = members && new Set(members);
  return {
    members: now,
    before: before === members ? now : before && new Set(before),
    groups: undefined,
    groupsBefore: undefined,
    warnings: [],
  };
}

const typesOf = (ranges: readonly TaskRange[]): string => ranges.map(({ type }) => type).join(' ');

/** Each task as what it returns, and after `<` by which others. */
function tasksOf(
  parameters: Partial<ExportParameters>,
  found: Findings = {},
  held?: readonly string[],
): string[] {
  return plan(command(parameters, held), SETTINGS, 5, found).tasks.map(({ ranges, related, organized }) => {
    const by = related ? ` < ${related.by} ${typesOf(related.ranges)}` : '';
    return typesOf(ranges) + by + (organized ? ` in blocks of ${organized.by}` : '');
  });
}

const everyPatient = { cohort: cohortOf(undefined) };

describe('plans of many patients', () => {
  const named = (count: number): Partial<ExportParameters> => ({
    level: 'patient',
    patients: Array.from({ length: count }, (_, i) => `p${String(i)}`),
  });
  const place = { partition: 3, offset: offset(7) };

  it('are carried by tasks while they are few', () => {
    const { planned, tasks } = plan(command(named(100)), SETTINGS, 5, { command: place });
    assert.equal(planned.parameters.patients.length, 100);
    assert.ok(tasks.length > 0);
    for (const { filter } of tasks) {
      assert.equal(filter.scope?.patients.length, 100);
      assert.equal(filter.scope.command, undefined);
    }
  });

  it('say where the command is that names them, and so stay small', () => {
    const { planned, tasks } = plan(command(named(101)), SETTINGS, 5, { command: place });
    assert.deepEqual(planned.parameters.patients, []);
    assert.ok(tasks.length > 0);
    for (const { filter } of tasks) {
      assert.deepEqual(filter.scope?.patients, []);
      assert.deepEqual(filter.scope.command, place);
    }
  });
});

describe('plans by level', () => {
  it('have at patient level the types of the compartment, and Provenance by what it is about', () => {
    assert.deepEqual(tasksOf({ level: 'patient' }, everyPatient), [
      'Group Observation Patient',
      'Provenance < target-in-scope Group Observation Patient',
    ]);
    assert.deepEqual(tasksOf({ level: 'system' }), [HELD.join(' ')]);
  });

  it('have types of no compartment only if they are named, by what refers to them', () => {
    const types = ['Medication', 'Observation', 'Practitioner'];
    assert.deepEqual(tasksOf({ level: 'patient', types }, everyPatient), [
      'Observation',
      'Medication Practitioner < referenced Observation',
    ]);
    assert.deepEqual(tasksOf({ level: 'patient', types: ['Observation'] }, everyPatient), ['Observation']);
    assert.deepEqual(tasksOf({ level: 'system', types }), ['Medication Observation Practitioner']);
  });

  it('have Provenance that is about what _type leaves out', () => {
    assert.deepEqual(tasksOf({ level: 'patient', types: ['Provenance'] }, everyPatient), [
      'Provenance < target-in-scope Group Observation Patient',
    ]);
  });

  it('have Provenance of what is returned at each level when it is asked for, named or not', () => {
    for (const level of ['system', 'patient'] as const)
      assert.deepEqual(tasksOf({ level, types: ['Observation'], provenance: 'latest' }, everyPatient), [
        'Observation',
        'Provenance < latest-of-returned Observation',
      ]);
    const held = ['Observation'];
    assert.deepEqual(tasksOf({ provenance: 'relevant', types: held }, {}, held), ['Observation']);
  });

  it('read old Provenance and old referrers under _since, since what is new may be about them', () => {
    const since = { time: 5, from: new Map(HELD.map((type) => [type, [offset(8)]])) };
    const { tasks } = plan(
      command({ level: 'patient', types: ['Observation', 'Practitioner', 'Provenance'] }),
      SETTINGS,
      5,
      { ...everyPatient, since },
    );
    assert.deepEqual(
      tasks.map(({ ranges, related }) =>
        [...ranges, ...(related?.ranges ?? [])].map(({ type, from }) => `${type} ${from}`).join(', '),
      ),
      ['Observation 8', 'Provenance 0, Group 0, Observation 0, Patient 0', 'Practitioner 0, Observation 0'],
    );
  });

  it('have one task of all types for organized output, in which a group asked for has no place', () => {
    const organized = { organizeBy: 'Patient' } as const;
    assert.deepEqual(tasksOf({ level: 'patient', ...organized }, everyPatient), [
      'Group Observation Patient Provenance in blocks of Patient',
    ]);
    const group = { level: 'group', group: 'g', ...organized } as const;
    assert.deepEqual(tasksOf(group, { cohort: cohortOf(['p']) }), [
      'Observation Patient Provenance in blocks of Patient',
    ]);
  });

  it('say in a task without ranges what there is to say when there is nothing to read', () => {
    const cohort = { ...cohortOf([]), warnings: ['Nobody.'] };
    const { tasks, planned } = plan(command({ level: 'group', group: 'g' }, []), SETTINGS, 5, { cohort });
    assert.deepEqual(
      tasks.map(({ ranges, warnings }) => [ranges, warnings]),
      [[[], ['Nobody.']]],
    );
    assert.equal(planned.tasks.length, 1);
  });
});
