import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Grant, GrantRule } from '../../src/events/grant.ts';
import { apply, linesOf, parametersOf, sorted } from './exported.ts';
import { beginning, chapter, play, worldOf } from './history.ts';
import { answer, compartmentsOf, patientsIn } from './oracle.ts';
import type { Asked, Permits } from './oracle.ts';
import { instantOf } from './world.ts';
import type { Write } from './world.ts';

const RUNS = Number(process.env['HEADWATER_TEST_COHORT_RUNS'] ?? 150);
const TYPES = ['Appointment', 'Group', 'Observation', 'Patient', 'Practitioner', 'Provenance'];

const types = fc.constantFrom<GrantRule['types']>(
  '*',
  ['Observation', 'Patient'],
  ['Practitioner'],
  ['Patient', 'Provenance'],
);
const where = fc.oneof(
  fc.constantFrom<GrantRule['where']>({ kind: 'everything' }, { kind: 'any' }),
  fc.record({
    kind: fc.constant('patients' as const),
    ids: fc.subarray(['p1', 'p2', 'p3'], { minLength: 1 }),
  }),
  fc.record({ kind: fc.constant('groups' as const), ids: fc.subarray(['g1', 'g2', 'g3'], { minLength: 1 }) }),
);
const rule: fc.Arbitrary<GrantRule> = fc
  .record({
    id: fc.constant('role/rule'),
    effect: fc.constantFrom('allow', 'allow', 'deny'),
    types,
    where,
    shared: fc.constantFrom('any', 'exclude'),
    redact: fc.constant([]),
  })
  .map((one) => {
    const aboutSome = one.where.kind === 'patients' || one.where.kind === 'groups';
    return aboutSome ? one : { ...one, shared: 'any' };
  });
const grants: fc.Arbitrary<Grant> = fc
  .record({
    rules: fc.array(rule, { minLength: 1, maxLength: 4 }),
    types: fc.subarray(TYPES, { minLength: 3 }),
  })
  .map(({ rules, types: permitted }) => ({
    ...{ policy: '', issuer: '', client: '', patient: undefined, roles: [] },
    types: permitted,
    rules,
  }));

const asked: fc.Arbitrary<Asked> = fc
  .record({
    level: fc.constantFrom('system' as const, 'patient' as const, 'group' as const),
    types: fc.constantFrom<readonly string[]>([], ['Observation', 'Patient', 'Practitioner'], ['Provenance']),
    provenance: fc.constantFrom('in-scope' as const, 'relevant' as const, 'latest' as const),
  })
  .map((one) => (one.level === 'group' ? { ...one, group: 'g1' } : one));

/** The rules as an operator reads them, of rows and nothing of the product. */
function permitsOf({ rules, types: permitted }: Grant): Permits {
  const holds = (
    { where: condition, shared, effect }: GrantRule,
    patients: readonly string[],
    ids: ReadonlySet<string>,
  ): boolean => {
    if (condition.kind === 'everything') return true;
    if (condition.kind === 'any') return patients.length > 0;
    if (shared === 'exclude' && effect !== undefined)
      return patients.length > 0 && patients.every((id) => ids.has(id));
    return patients.some((id) => ids.has(id));
  };
  return (row, patients, rows, time) => {
    if (!permitted.includes(row.type)) return false;
    const held = rules.filter((one) => {
      if (one.types !== '*' && !one.types.includes(row.type)) return false;
      const { where: condition } = one;
      const ids =
        condition.kind === 'patients'
          ? condition.ids
          : condition.kind === 'groups'
            ? condition.ids.flatMap((id) => [...patientsIn(rows, time, id)])
            : [];
      return holds(one, patients, new Set(ids));
    });
    return held.some(({ effect }) => effect === 'allow') && !held.some(({ effect }) => effect === 'deny');
  };
}

describe('the rights of a client', function () {
  this.timeout(600_000);

  it('leave exactly what its rules permit, at every level, in full exports and in increments', async () => {
    await fc.assert(
      fc.asyncProperty(
        beginning,
        fc.array(chapter, { minLength: 1, maxLength: 3 }),
        asked,
        grants,
        fc.constantFrom(Infinity, 1, 2),
        fc.constantFrom('once', 'after a reload'),
        async (first, later, one, grant, zoneRecords, how) => {
          const world = worldOf(first, zoneRecords);
          const permits = permitsOf(grant);
          const wasPermitted = new Set<string>();
          const note = ({ type, id, resource = {} }: Write): void => {
            const row = { type, id, resource, line: '', readable: true, changedAt: 0 };
            if (permits(row, compartmentsOf(row), world.rows, 0)) wasPermitted.add(`${type}/${id}`);
          };
          for (const write of first.transactions.flatMap(({ writes }) => writes)) note(write);
          let copy: { lines: ReadonlyMap<string, string>; time: string } | undefined;
          for (const [n, next] of [{ transactions: [] }, ...later].entries()) {
            if (how === 'after a reload' && n > 0) {
              world.pass(1);
              world.reload(next.transactions.flatMap(({ writes }) => writes));
            } else play(world, next);
            for (const write of next.transactions.flatMap(({ writes }) => writes)) note(write);
            world.pass(1);
            const cut = world.cut();
            const expected = answer(world.rows, cut.time, { ...one, permits });
            const full = await world.export(cut, parametersOf(one), 1_000, grant);
            assert.equal(full.failed, expected.failed);
            if (expected.failed !== undefined) continue;
            assert.deepEqual(sorted(linesOf(full)), sorted(expected.lines));
            if (copy) {
              const changes = await world.export(cut, parametersOf(one, copy.time), 1_000, grant);
              assert.equal(changes.failed, undefined);
              assert.deepEqual(sorted(apply(copy.lines, changes)), sorted(expected.lines));
              // A reload does not know the versions between, and groups have other members between.
              if (how === 'once' && grant.rules.every(({ where: { kind } }) => kind !== 'groups'))
                for (const key of changes.deleted)
                  assert(wasPermitted.has(key), `${key} was never permitted`);
            }
            copy = { lines: expected.lines, time: instantOf(cut) };
          }
        },
      ),
      { numRuns: RUNS },
    );
  });
});
