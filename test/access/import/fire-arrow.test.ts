import assert from 'node:assert/strict';
import { importFireArrow } from '../../../src/access/import/fire-arrow.ts';
import type { Imported } from '../../../src/access/import/imported.ts';
import { holds, OBSERVATION, PATIENT, PRACTITIONER, refusedAs } from './judge-imported.ts';

describe('headwater access import, from Fire Arrow', () => {
  const rulesOf = (...rules: readonly string[]): string =>
    `fire-arrow:\n  authorization:\n    default-validator: Forbidden\n    validation-rules:\n${rules
      .map((one) => `      - { ${one} }\n`)
      .join('')}`;
  const both = (rest: string): string[] =>
    ['read', 'search'].map((operation) => `${rest}, operation: ${operation}`);
  const imported = (...rules: readonly string[]): Imported =>
    importFireArrow(rulesOf(...rules), 'application.yaml');

  it('makes no role of what is forbidden only', () =>
    assert.equal(imported(...both('client-role: A, resource: Patient, validator: Forbidden')).roles.size, 0));

  it('carries over what a role may read and search, with its filters', () =>
    holds(
      imported(
        ...both('client-role: Patient, resource: Observation, validator: PatientCompartment'),
        ...both('client-role: Patient, resource: Practitioner, validator: Allowed'),
        ...both(
          'client-role: Study, resource: Patient, validator: Allowed, property-filters: [{ property: name, filter: NullFilter }, { property: Patient.telecom, filter: RandomFilter }]',
        ),
        ...both('client-role: Study, resource: Observation, validator: Forbidden'),
        'client-role: Study, resource: Patient, operation: update, validator: Allowed',
      ),
      `identity: { roles: [Patient], patient: p1, scopes: [patient/*.rs] }, resource: ${OBSERVATION}, expect: exported`,
      `identity: { roles: [Patient], patient: p2, scopes: [patient/*.rs] }, resource: ${OBSERVATION}, expect: withheld`,
      `identity: { roles: [Patient], patient: p1, scopes: [patient/*.rs] }, resource: ${PRACTITIONER}, expect: exported`,
      `identity: { roles: [Patient], patient: p1, scopes: [patient/*.rs] }, resource: ${PATIENT}, expect: withheld`,
      `identity: { roles: [Study] }, level: system, resource: ${PATIENT}, expect: exported, lacks: [Planted, '9876543'], has: [Elm]`,
      `identity: { roles: [Study] }, level: system, resource: ${OBSERVATION}, expect: withheld`,
    ));

  it('notes a type that is read and not searched, since an export lists', () => {
    const { roles, notes } = imported(
      'client-role: Study, resource: Patient, operation: read, validator: Allowed',
      ...both('client-role: Study, resource: Observation, validator: Allowed'),
    );
    assert.equal(notes.length, 1);
    assert.match(notes[0] ?? '', /Study, Patient: it is not both read and searched/);
    assert.equal(roles.get('Study')?.length, 1);
  });

  for (const [what, rules, says] of [
    [
      'an identity filter',
      both("client-role: A, resource: Patient, validator: Allowed, identity-filter: 'active'"),
      /identity-filter/,
    ],
    [
      'a validator by relations',
      both('client-role: A, resource: Patient, validator: LegitimateInterest'),
      /LegitimateInterest of client role A/,
    ],
    [
      'a compartment of others',
      both('client-role: A, resource: Patient, validator: PatientCompartment'),
      /PatientCompartment of client role A/,
    ],
    [
      'a validator with parameters',
      both('client-role: A, resource: Patient, validator: { type: CareTeam }'),
      /CareTeam/,
    ],
    [
      'another filter',
      both(
        'client-role: A, resource: Patient, validator: Allowed, property-filters: [{ property: name, filter: HashFilter }]',
      ),
      /HashFilter/,
    ],
    [
      'an expression',
      both(
        "client-role: A, resource: Patient, validator: Allowed, property-filters: [{ property: 'name.first()', filter: NullFilter }]",
      ),
      /is no path/,
    ],
    [
      'another operation',
      ['client-role: A, resource: Patient, operation: $everything, validator: Allowed'],
      /no operation "\$everything"/,
    ],
    [
      'an unknown type',
      both('client-role: A, resource: Patientt, validator: Allowed'),
      /no resource type "Patientt"/,
    ],
    [
      'a field of a later release',
      both('client-role: A, resource: Patient, validator: Allowed, more: 1'),
      /more has no counterpart/,
    ],
    [
      'rules that differ',
      [
        'client-role: A, resource: Patient, operation: read, validator: Allowed',
        'client-role: A, resource: Patient, operation: search, validator: Forbidden',
      ],
      /read and search have different rules/,
    ],
    [
      'several rules for one operation',
      [
        ...both('client-role: Patient, resource: Patient, validator: PatientCompartment'),
        ...both('client-role: Patient, resource: Patient, validator: Allowed'),
      ],
      /Patient, Patient: it has several rules for read/,
    ],
    [
      'rules of every type beside those of one, also where one could not be exported',
      [
        ...both('client-role: A, resource: "*", validator: Allowed'),
        'client-role: A, resource: Patient, operation: search, validator: Forbidden',
      ],
      /A: it has rules of every type and of Patient/,
    ],
    [
      'two roles of one name',
      [
        ...both('client-role: A B, resource: Patient, validator: Allowed'),
        ...both('client-role: A-B, resource: Observation, validator: Allowed'),
      ],
      /A-B: another role has this name/,
    ],
    [
      'what a check of the access file would find',
      both(
        'client-role: A, resource: Observation, validator: Allowed, property-filters: [{ property: status, filter: NullFilter }]',
      ),
      /roles\.A\.rules\.Observation-0\.redact: Observation\.status is mandatory/,
    ],
  ] as const)
    it(`refuses ${what} by name`, () => {
      const message = refusedAs(() => imported(...rules));
      assert.match(message, says);
    });

  it('refuses a server that permits what no rule forbids', () =>
    assert.match(
      refusedAs(() =>
        importFireArrow(
          rulesOf().replace('Forbidden', 'Allowed').replace('validation-rules:', 'validation-rules: []'),
          'f',
        ),
      ),
      /default-validator: it is Allowed/,
    ));
});
