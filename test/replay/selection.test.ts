import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Cohort } from '../../src/cohort/cohort.ts';
import { MANY_PATIENTS } from '../../src/events/resource-change.ts';
import type { Selection } from '../../src/replay/selection.ts';
import { selectionOf } from './selections.ts';
import type { Fate, Version } from '../../src/replay/selection.ts';

/** A resource's life: where it is after each step, undefined = nowhere. Times may repeat, as those of one transaction do. */
interface Step {
  readonly later: number;
  readonly patients: readonly string[] | undefined;
}
const some = fc.subarray(['a', 'b', 'c']);
const life: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({ later: fc.nat(2), patients: fc.option(some, { nil: undefined }) }),
  { minLength: 1, maxLength: 8 },
);
/** Versions as capture writes them. */
function versionsOf(steps: readonly Step[]): Version[] {
  const versions: Version[] = [];
  let at = 0;
  let before: readonly string[] | undefined;
  for (const { later, patients } of steps) {
    at += later;
    const left = before?.filter((id) => !patients?.includes(id)) ?? [];
    if (patients)
      versions.push({
        operation: before ? 'update' : 'create',
        changedAt: at,
        patients,
        leftPatients: before ? left : [],
      });
    else if (before)
      versions.push({ operation: 'delete', changedAt: at, patients: before, leftPatients: [] });
    before = patients;
  }
  return versions;
}

/** As replay asks: newest first, until it knows. */
function fateOf(selection: Selection, versions: readonly Version[]): Fate {
  const [newest, ...older] = versions.toReversed();
  if (!newest) return 'nothing';
  let fate = selection.newest('x', newest);
  for (const version of older) if (fate === 'watch') fate = selection.older('x', version);
  return fate;
}

function cohortOf(members: readonly string[], before: readonly string[]): Cohort {
  return {
    members: new Set(members),
    before: new Set(before),
    groups: new Set(),
    groupsBefore: new Set(),
    warnings: [],
  };
}

/** Whether a resource is there and of one of them, by its last version no later than a time. */
function isIn(versions: readonly Version[], time: number, patients: readonly string[]): boolean {
  const last = versions.findLast(({ changedAt }) => changedAt <= time);
  return (
    last !== undefined && last.operation !== 'delete' && last.patients.some((id) => patients.includes(id))
  );
}

describe('the selection of a cohort', () => {
  it('gives, applied to the earlier export, exactly what is in, after any history and change of members', () => {
    fc.assert(
      fc.property(life, fc.nat(12), some, some, (steps, since, members, before) => {
        const versions = versionsOf(steps);
        const selection = selectionOf({ since, until: undefined }, cohortOf(members, before), 'Observation');
        const fate = fateOf(selection, versions);
        const had = isIn(versions, since, before);
        const has = isIn(versions, Infinity, members);
        const changed = (versions.at(-1)?.changedAt ?? 0) > since;
        // Row by row: what the copy has afterwards, and whether it is the newest version.
        if (has) assert.equal(fate, changed || !had ? 'output' : 'nothing');
        else if (had) assert(fate === 'deleted' || fate === 'held');
        else assert.notEqual(fate, 'output');
      }),
      { numRuns: 5_000 },
    );
  });

  it('says without _since what is in, and nothing of what is not', () => {
    fc.assert(
      fc.property(life, some, fc.option(fc.nat(12), { nil: undefined }), (steps, members, until) => {
        const versions = versionsOf(steps);
        const selection = selectionOf({ since: undefined, until }, cohortOf(members, members), 'Observation');
        const late = until !== undefined && (versions.at(-1)?.changedAt ?? 0) > until;
        const expected = isIn(versions, Infinity, members) && !late ? 'output' : 'nothing';
        assert.equal(fateOf(selection, versions), expected);
      }),
      { numRuns: 2_000 },
    );
  });

  it('reports nothing that was never of the cohort', () => {
    fc.assert(
      fc.property(life, fc.nat(12), some, (steps, since, members) => {
        const strangers = steps.map((step) => ({
          ...step,
          patients: step.patients?.filter((id) => !members.includes(id)),
        }));
        const selection = selectionOf({ since, until: undefined }, cohortOf(members, members), 'Observation');
        const fate = fateOf(selection, versionsOf(strangers));
        assert.notEqual(fate, 'deleted');
        assert.notEqual(fate, 'held');
        assert.notEqual(fate, 'output');
      }),
      { numRuns: 2_000 },
    );
  });

  it('goes by ids for groups: those asked for and those in them, no others of the same patients', () => {
    const cohort = { ...cohortOf(['a'], ['a']), groups: new Set(['g']), groupsBefore: new Set(['h']) };
    const of = (since: number | undefined) => selectionOf({ since, until: undefined }, cohort, 'Group');
    const version = { operation: 'update' as const, changedAt: 5, patients: ['a'], leftPatients: [] };
    assert.equal(of(undefined).newest('g', version), 'output');
    assert.equal(of(undefined).newest('other', version), 'nothing');
    assert.equal(of(7).newest('g', version), 'output', 'it came in later than it changed');
    assert.equal(of(7).newest('h', version), 'held', 'it went out');
    assert.equal(of(7).newest('other', version), 'nothing');
  });

  it('returns a resource of unnamed many patients again, and reports it when it is gone', () => {
    const selection = selectionOf({ since: 5, until: undefined }, cohortOf(['a'], ['a']), 'Observation');
    const many = [MANY_PATIENTS];
    const live = { operation: 'update' as const, changedAt: 3, patients: many, leftPatients: [] };
    assert.equal(selection.newest('x', live), 'output', 'its client may lack it');
    const gone = { ...live, operation: 'delete' as const, changedAt: 7 };
    assert.equal(selection.newest('x', gone), 'deleted', 'its client may have it');
    const left = { ...live, changedAt: 7, patients: ['b'], leftPatients: many };
    assert.equal(selection.newest('x', left), 'deleted', 'its client may have it');
    const elsewhere = { ...live, changedAt: 7, patients: ['b'] };
    assert.equal(selection.newest('x', elsewhere), 'watch');
    assert.equal(selection.older('x', live), 'held', 'its client may have it');
  });
});
