import assert from 'node:assert/strict';
import fc from 'fast-check';
import { resolveGrant } from '../../src/access/grants.ts';
import type { Rule } from '../../src/access/policy.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import { apply, linesOf, parametersOf, sorted } from './exported.ts';
import { beginning, chapter, play, worldOf } from './history.ts';
import { answer } from './oracle.ts';
import type { Permits } from './oracle.ts';
import { instantOf } from './world.ts';

const RUNS = Number(process.env['HEADWATER_TEST_COHORT_RUNS'] ?? 100);
const TYPES = ['Observation', 'Patient', 'Practitioner'];
const all: Omit<Rule, 'id'> = {
  effect: 'allow',
  types: TYPES,
  where: { kind: 'everything' },
  shared: 'any',
  redact: [],
};
const CASES: readonly {
  readonly rules: readonly Rule[];
  readonly scopes: readonly string[];
  readonly permits: Permits;
}[] = [
  {
    rules: [
      {
        ...all,
        id: 'final',
        types: ['Observation'],
        where: { kind: 'any' },
        criteria: ['Observation?status=final'],
      },
      { ...all, id: 'others', types: ['Patient', 'Practitioner'] },
    ],
    scopes: ['system/*.rs'],
    permits: ({ type, resource }, patients) =>
      type !== 'Observation' || (patients.length > 0 && resource['status'] === 'final'),
  },
  {
    rules: [
      { ...all, id: 'no', effect: 'deny', types: ['Observation'], criteria: ['Observation?status=final'] },
      { ...all, id: 'all' },
    ],
    scopes: ['system/*.rs'],
    permits: ({ resource }) => resource['status'] !== 'final',
  },
  {
    rules: [{ ...all, id: 'all' }],
    scopes: ['system/Observation.rs?status=final', 'system/Patient.rs', 'system/Practitioner.rs?active=true'],
    permits: ({ type, resource }) =>
      type === 'Practitioner'
        ? resource['active'] === true
        : type !== 'Observation' || resource['status'] === 'final',
  },
];

describe('criteria of rules and scopes in exports', function () {
  this.timeout(600_000);

  it('leave exactly what matches them, in full exports and in increments', async () => {
    await fc.assert(
      fc.asyncProperty(
        beginning,
        fc.array(chapter, { minLength: 1, maxLength: 3 }),
        fc.constantFrom('system' as const, 'patient' as const),
        fc.constantFrom(...CASES),
        async (first, later, level, { rules, scopes, permits }) => {
          const world = worldOf(first, Infinity);
          const identity = {
            ...{ issuer: '', client: '', subject: undefined, patient: undefined, tokenId: undefined },
            ...{ roles: ['a'], attributes: {}, scopes },
          };
          const policy = {
            ...{ hash: '', embedded: undefined, external: [], clients: new Map() },
            roles: new Map([
              [
                'a',
                {
                  export: {
                    levels: ['system' as const, 'patient' as const],
                    groups: '*' as const,
                    withheld: 'told' as const,
                  },
                  rules,
                },
              ],
            ]),
          };
          const one = { level, types: TYPES };
          let copy: { lines: ReadonlyMap<string, string>; time: string } | undefined;
          for (const next of [{ transactions: [] }, ...later]) {
            play(world, next);
            world.pass(1);
            const cut = world.cut();
            const expected = answer(world.rows, cut.time, { ...one, permits });
            const exported = (since?: string) => {
              const granted = resolveGrant(
                policy,
                identity,
                { ...EVERYTHING, ...parametersOf(one, since) },
                { lenient: false },
              );
              return world.export(cut, granted.parameters, 1_000, granted.grant);
            };
            assert(expected.failed === undefined);
            assert.deepEqual(sorted(linesOf(await exported())), sorted(expected.lines));
            if (copy)
              assert.deepEqual(sorted(apply(copy.lines, await exported(copy.time))), sorted(expected.lines));
            copy = { lines: expected.lines, time: instantOf(cut) };
          }
        },
      ),
      { numRuns: RUNS },
    );
  });
});
