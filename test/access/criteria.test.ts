import assert from 'node:assert/strict';
import { checkPolicy } from '../../src/access/access-check.ts';
import { resolveGrant } from '../../src/access/grants.ts';
import { permittedGroups } from '../../src/access/permitted-groups.ts';
import type { AccessPolicy, Rule } from '../../src/access/policy.ts';
import { grantedScopes } from '../../src/access/scopes.ts';
import { EVERYTHING } from '../../src/events/request.ts';

const rule = (more: Partial<Rule>): Rule => ({
  ...{
    id: 'r',
    effect: 'allow',
    types: ['Observation', 'Patient'],
    where: { kind: 'everything' },
    shared: 'any',
    redact: [],
  },
  ...more,
});
const policyOf = (...rules: readonly Rule[]): AccessPolicy => ({
  ...{ hash: 'h', embedded: undefined, external: [], clients: new Map() },
  roles: new Map([['a', { export: { levels: ['system', 'group'], groups: '*', withheld: 'told' }, rules }]]),
});
const identityOf = (...scopes: readonly string[]) => ({
  ...{ issuer: 'i', client: 'c', subject: undefined, patient: undefined, tokenId: undefined },
  ...{ roles: ['a'], attributes: {}, scopes },
});

function filtersOf(
  policy: AccessPolicy,
  scopes: readonly string[],
  typeFilters: readonly string[] = [],
): readonly string[] {
  const asked = { ...EVERYTHING, types: ['Observation'], typeFilters };
  return resolveGrant(policy, identityOf(...scopes), asked, { lenient: false }).parameters.typeFilters;
}

describe('criteria of rules and scopes', () => {
  const laboratory = rule({
    types: ['Observation'],
    criteria: ['Observation?category=laboratory', 'Observation?code=1'],
  });
  const restricted = rule({ id: 'no', effect: 'deny', types: '*', criteria: ['*?_security=s|R'] });

  it('are searches of the export, together with those of the client', () => {
    assert.deepEqual(filtersOf(policyOf(laboratory), ['system/*.rs']), laboratory.criteria);
    assert.deepEqual(filtersOf(policyOf(laboratory), ['system/*.rs'], ['Observation?status=final']), [
      'Observation?status=final&category=laboratory',
      'Observation?status=final&code=1',
    ]);
    assert.deepEqual(filtersOf(policyOf(rule({ types: ['Observation'] })), ['system/*.rs']), []);
  });

  it('deny what they find', () => {
    assert.deepEqual(filtersOf(policyOf(restricted, laboratory), ['system/*.rs']), [
      'Observation?category=laboratory&_security:not=s|R',
      'Observation?code=1&_security:not=s|R',
    ]);
  });

  it('of scopes apply only if no scope permits all of the type', () => {
    const scope = 'system/Observation.rs?category=laboratory';
    const plain = policyOf(rule({}));
    assert.deepEqual(filtersOf(plain, [scope]), ['Observation?category=laboratory']);
    assert.deepEqual(filtersOf(plain, [scope, 'system/*.rs']), []);
    assert.deepEqual(filtersOf(plain, [scope, 'system/Observation.r']), ['Observation?category=laboratory']);
  });

  it('of scopes that look at a redacted element are refused', () => {
    const policy = policyOf(rule({ redact: [{ path: 'category', do: 'remove' }] }));
    assert.throws(() => filtersOf(policy, ['system/Observation.rs?category=laboratory']), /category/);
  });

  it('of scopes are granted as the intersection, without modifiers, chains and _filter', () => {
    const asked = 'system/Observation.rs?category=laboratory';
    assert.deepEqual(grantedScopes([asked], ['system/*.rs']), [asked]);
    assert.deepEqual(grantedScopes(['system/*.rs'], [asked]), [asked]);
    assert.deepEqual(grantedScopes([asked], ['system/Observation.rs?status=final']), [
      `${asked}&status=final`,
    ]);
    for (const query of [
      'category:not=a',
      'subject.name=a',
      '_filter=a',
      'nothing=a',
      '_has:a:b:c=d',
      'category',
    ])
      assert.deepEqual(grantedScopes([`system/Observation.rs?${query}`], ['system/*.rs']), [], query);
    assert.deepEqual(grantedScopes(['system/*.rs?_security=a'], ['system/Patient.rs']), [
      'system/Patient.rs?_security=a',
    ]);
    assert.deepEqual(grantedScopes(['system/*.rs?category=a'], ['system/*.rs']), []);
  });

  it('hide the members of Groups', () => {
    const groups = rule({ types: ['Group'] });
    assert.equal(permittedGroups(policyOf(groups), identityOf('system/*.rs')).whole, true);
    assert.equal(permittedGroups(policyOf(restricted, groups), identityOf('system/*.rs')).whole, false);
  });

  it('stop the start if they cannot be evaluated', () => {
    const of = (...rules: readonly Rule[]): string => checkPolicy(policyOf(...rules)).join('\n');
    const patients = rule({ id: 'p', types: ['Patient'] });
    for (const [wrong, says] of [
      [rule({ criteria: ['Observation?status=final'] }), /there is none for Patient/],
      [rule({ types: ['Observation'], criteria: ['Observation?subject.name=a'] }), /chained/],
      [
        rule({ types: ['Observation'], criteria: ['Observation?nothing=a'] }),
        /no search parameter "nothing"/,
      ],
      [
        rule({ types: ['Patient'], criteria: ['Patient?name=a'], redact: [{ path: 'name', do: 'remove' }] }),
        /looks at name/,
      ],
      [rule({ effect: 'deny', criteria: ['*?_security=a&_id=b'] }), /one parameter/],
      [rule({ effect: 'deny', criteria: ['*?_lastUpdated=2020'] }), /:not is not supported/],
      [rule({ effect: 'deny', where: { kind: 'any' }, criteria: ['*?_security=a'] }), /either criteria or/],
      [rule({ criteria: ['*?_security=a'] }), /p is about the same type/],
    ] as const)
      assert.match(of(wrong, patients), says);
    assert.doesNotMatch(of(laboratory, restricted, patients), /criteria/);
  });

  it('are refused if several roles have rules for the type', () => {
    const policy = policyOf(laboratory);
    const roles = new Map([...policy.roles, ['b', policyOf(rule({})).roles.get('a') ?? assert.fail()]]);
    const identity = { ...identityOf('system/*.rs'), roles: ['a', 'b'] };
    const asked = { ...EVERYTHING, types: ['Observation'] };
    assert.throws(
      () => resolveGrant({ ...policy, roles }, identity, asked, { lenient: false }),
      /several rules for Observation/,
    );
  });
});
