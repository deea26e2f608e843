import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Grant, GrantRule } from '../../src/events/grant.ts';
import { apply, linesOf, parametersOf, sorted } from './exported.ts';
import { beginning, chapter, play, worldOf } from './history.ts';
import { answer, compartmentsOf, patientsIn } from './oracle.ts';
import type { Asked, Permits } from './oracle.ts';
import { instantOf, World } from './world.ts';
import { put } from './writes.ts';
import type { Row, Rows, Write } from './world.ts';

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
    redact: fc.constantFrom([], [], [{ path: 'performer', do: 'remove' as const }]),
  })
  .map((one) => {
    const aboutSome = one.where.kind === 'patients' || one.where.kind === 'groups';
    const { redact, shared } = one;
    return { ...one, shared: aboutSome ? shared : 'any', redact: one.effect === 'deny' ? [] : redact };
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

/** The rules that hold for a resource, as an operator reads them, of rows and nothing of the product. */
function heldOf(
  { rules }: Grant,
  row: Row,
  patients: readonly string[],
  rows: Rows,
  time: number,
): GrantRule[] {
  return rules.filter(({ types: about, where: condition, shared }) => {
    if (about !== '*' && !about.includes(row.type)) return false;
    if (condition.kind === 'everything') return true;
    if (condition.kind === 'any') return patients.length > 0;
    const ids =
      condition.kind === 'patients'
        ? condition.ids
        : condition.ids.flatMap((id) => [...patientsIn(rows, time, id)]);
    if (shared === 'exclude') return patients.length > 0 && patients.every((id) => ids.includes(id));
    return patients.some((id) => ids.includes(id));
  });
}

function permitsOf(grant: Grant): Permits {
  return (row, patients, rows, time) => {
    const held = heldOf(grant, row, patients, rows, time);
    if (!grant.types.includes(row.type) || held.some(({ effect }) => effect === 'deny')) return false;
    return held.length > 0;
  };
}

const LABEL = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'REDACTED' };

function seenOf(grant: Grant): NonNullable<Asked['seen']> {
  const redacts = (type: string): boolean =>
    grant.rules.some(
      ({ types: about, redact }) => redact.length > 0 && (about === '*' || about.includes(type)),
    );
  return (row, patients, rows, time) => {
    if (!redacts(row.type)) return row.resource;
    const first = heldOf(grant, row, patients, rows, time).find(({ effect }) => effect === 'allow');
    const { performer, ...others } = row.resource;
    const left = first?.redact.length || performer === undefined ? others : row.resource;
    return { meta: { security: [LABEL] }, ...(row.type === 'Observation' ? left : row.resource) };
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
          const [permits, seen] = [permitsOf(grant), seenOf(grant)];
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
            const expected = answer(world.rows, cut.time, { ...one, permits, seen });
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

  it('return again what another rule lets through, with other redactions', async () => {
    const world = new World(Infinity);
    const observation = {
      subject: { reference: 'Patient/p1' },
      performer: [{ reference: 'Practitioner/d1' }],
    };
    const group = (...ids: readonly string[]): Write => ({
      ...{ type: 'Group', id: 'g1' },
      resource: { member: ids.map((id) => ({ entity: { reference: `Patient/${id}` } })) },
    });
    world.load([put('Observation', 'o1', observation), put('Patient', 'p1', {}), group('p2')]);
    const rule = { id: 'role/rule', effect: 'allow', types: ['Observation'], shared: 'any' } as const;
    const grant: Grant = {
      ...{ policy: '', issuer: '', client: '', patient: undefined, roles: [], types: ['Observation'] },
      rules: [
        { ...rule, where: { kind: 'groups', ids: ['g1'] }, redact: [] },
        { ...rule, where: { kind: 'any' }, redact: [{ path: 'performer', do: 'remove' }] },
      ],
    };
    world.pass(1);
    const first = world.cut();
    const before = await world.export(first, { level: 'patient' }, 1_000, grant);
    assert.doesNotMatch(before.output[0]?.line ?? '', /performer/);
    world.pass(1);
    world.commit([group('p1', 'p2')]);
    world.pass(1);
    const changes = await world.export(
      world.cut(),
      { level: 'patient', since: instantOf(first) },
      1_000,
      grant,
    );
    assert.match(changes.output.map(({ line }) => line).join(), /performer/);
  });
});
