import assert from 'node:assert/strict';
import fc from 'fast-check';
import { resolveGrant } from '../../src/access/grants.ts';
import type { Identity } from '../../src/access/identity.ts';
import type { AccessPolicy, Role, Rule } from '../../src/access/policy.ts';
import { HeadwaterError } from '../../src/base/errors.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import type { ExportParameters } from '../../src/events/request.ts';

const TYPES = ['Binary', 'Condition', 'Group', 'Observation', 'Patient'];

const rule = (more: Partial<Rule> & Pick<Rule, 'id'>): Rule => ({
  ...{ effect: 'allow', types: '*', where: { kind: 'everything' }, shared: 'any', redact: [] },
  ...more,
});
const role = (rules: readonly Rule[], more: Partial<Role['export']> = {}): Role => ({
  export: { levels: ['system', 'patient', 'group'], groups: '*', withheld: 'told', ...more },
  rules,
});
const policyOf = (roles: Readonly<Record<string, Role>>): AccessPolicy => ({
  ...{ hash: 'h', embedded: undefined, external: [], clients: new Map() },
  roles: new Map(Object.entries(roles)),
});
const identityOf = (more: Partial<Identity> = {}): Identity => ({
  ...{ issuer: 'https://i.example', client: 'c', subject: undefined, patient: undefined, tokenId: undefined },
  ...{ roles: ['a'], scopes: ['system/*.rs'], attributes: {} },
  ...more,
});
const ask = (more: Partial<ExportParameters> = {}): ExportParameters => ({ ...EVERYTHING, ...more });
const strict = { lenient: false };

function refused(code: ErrorCode, says: RegExp, ...given: Parameters<typeof resolveGrant>): void {
  assert.throws(
    () => resolveGrant(...given),
    (error: unknown) => error instanceof HeadwaterError && error.code === code && says.test(error.message),
  );
}

describe('a grant', () => {
  it('is refused without a role, and with scopes that let nothing be exported', () => {
    const policy = policyOf({ a: role([rule({ id: 'all' })]) });
    refused('forbidden', /no role/, policy, identityOf({ roles: [] }), ask(), strict);
    refused('forbidden', /no role/, policy, identityOf({ roles: ['gone'] }), ask(), strict);
    for (const scopes of [[], ['user/*.rs'], ['patient/*.rs'], ['openid']])
      refused('insufficient-scope', /system\/\*\.rs/, policy, identityOf({ scopes }), ask(), strict);
    for (const scope of ['system/Patient.r', 'system/Patient.s'])
      refused('forbidden', /no type/, policy, identityOf({ scopes: [scope] }), ask(), strict);
    const level = { level: 'patient' as const };
    refused(
      'insufficient-scope',
      /Patient/,
      policy,
      identityOf({ scopes: ['system/Condition.rs'] }),
      ask(level),
      strict,
    );
  });

  it('tries deny rules of all roles first, then those that allow, in the order of the roles', () => {
    const policy = policyOf({
      a: role([rule({ id: 'one' }), rule({ id: 'no', effect: 'deny', types: ['Group'] })]),
      b: role([
        rule({ id: 'two', types: ['Patient'] }),
        rule({ id: 'never', effect: 'deny', types: ['List'] }),
      ]),
    });
    const { grant } = resolveGrant(policy, identityOf({ roles: ['b', 'a'] }), ask(), strict);
    assert.deepEqual(
      grant.rules.map(({ id }) => id),
      ['b/never', 'a/no', 'b/two', 'a/one'],
    );
    assert.deepEqual(grant.roles, ['b', 'a']);
  });

  it('fills in the claims of rules, and leaves out a rule about no patient', () => {
    const policy = policyOf({
      a: role([
        rule({ id: 'own', where: { kind: 'own' } }),
        rule({ id: 'arm', types: ['Condition'], where: { kind: 'groups', groups: { claim: 'groups' } } }),
      ]),
    });
    const none = identityOf();
    refused('forbidden', /no type/, policy, none, ask(), strict);
    const patient = resolveGrant(policy, identityOf({ patient: 'p1' }), ask(), strict).grant;
    assert.deepEqual(
      patient.rules.map(({ where }) => where),
      [{ kind: 'patients', ids: ['p1'] }],
    );
    const groups = resolveGrant(
      policy,
      identityOf({ attributes: { groups: ['g', 'g', 'h'] } }),
      ask(),
      strict,
    ).grant;
    assert.deepEqual(
      groups.rules.map(({ where }) => where),
      [{ kind: 'groups', ids: ['g', 'h'] }],
    );
    assert.deepEqual(groups.types, ['Condition']);
  });

  it('holds Binary only where a rule names it', () => {
    const of = (types: Rule['types']) =>
      resolveGrant(policyOf({ a: role([rule({ id: 'r', types })]) }), identityOf(), ask(), strict).grant
        .types;
    assert(!of('*').includes('Binary'));
    assert.deepEqual(of(['Binary']), ['Binary']);
  });

  it('is for the one patient of a token for patients', () => {
    const policy = policyOf({ a: role([rule({ id: 'own', where: { kind: 'own' } })]) });
    const identity = identityOf({ patient: 'p1', scopes: ['patient/*.rs'] });
    const level = { level: 'patient' as const };
    assert.deepEqual(resolveGrant(policy, identity, ask(level), strict).parameters.patients, ['p1']);
    refused('forbidden', /Patient\/p2/, policy, identity, ask({ ...level, patients: ['p1', 'p2'] }), strict);
    refused('forbidden', /system level/, policy, identity, ask(), strict);
    refused('forbidden', /group level/, policy, identity, ask({ level: 'group', group: 'g' }), strict);
  });

  it('is refused when it is too large to travel', () => {
    const policy = policyOf({
      a: role([rule({ id: 'arm', where: { kind: 'groups', groups: { claim: 'groups' } } })]),
    });
    const groups = Array.from({ length: 5_000 }, (_, i) => `a-group-of-some-length-${i}`);
    refused('forbidden', /5000 groups/, policy, identityOf({ attributes: { groups } }), ask(), strict);
  });

  it('never widens by lenient handling, nor holds a type that scopes or rules do not permit', () => {
    const types = fc.oneof(fc.constant('*' as const), fc.subarray(TYPES, { minLength: 1 }));
    const rules = fc.array(
      fc.record({ types, effect: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const) }),
      { minLength: 1, maxLength: 4 },
    );
    const scopes = fc.oneof(
      fc.constant<string[]>(['system/*.rs']),
      fc.subarray(TYPES).map((some) => some.map((type) => `system/${type}.rs`)),
    );
    fc.assert(
      fc.property(rules, scopes, fc.subarray(TYPES), (given, held, asked) => {
        const policy = policyOf({ a: role(given.map((one, i) => rule({ id: `r${i}`, ...one }))) });
        const identity = identityOf({ scopes: held });
        const of = (lenient: boolean) => {
          try {
            return resolveGrant(policy, identity, ask({ types: asked }), { lenient });
          } catch (error) {
            assert(error instanceof HeadwaterError && error.code !== 'internal');
            return undefined;
          }
        };
        const [sure, kind] = [of(false), of(true)];
        if (sure) assert.deepEqual(kind, sure);
        if (!kind) return;
        const allowed = given.filter(({ effect }) => effect === 'allow');
        for (const type of kind.grant.types) {
          assert(held.includes('system/*.rs') || held.includes(`system/${type}.rs`));
          assert(allowed.some((one) => (one.types === '*' ? type !== 'Binary' : one.types.includes(type))));
        }
        for (const type of kind.parameters.types)
          assert(asked.includes(type) && kind.grant.types.includes(type));
        if (asked.length > 0) assert(kind.parameters.types.length > 0, 'an empty list would mean every type');
      }),
      { numRuns: 2_000 },
    );
  });
});
