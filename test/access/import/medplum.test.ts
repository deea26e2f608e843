import assert from 'node:assert/strict';
import { importMedplum } from '../../../src/access/import/medplum.ts';
import type { Imported } from '../../../src/access/import/imported.ts';
import { holds, OBSERVATION, PATIENT, PRACTITIONER, refusedAs } from './judge-imported.ts';

describe('headwater access import, from Medplum', () => {
  const imported = (...resource: readonly object[]): Imported =>
    importMedplum(
      JSON.stringify({ resourceType: 'AccessPolicy', name: 'Sample Policy', resource }),
      'policy.json',
    );

  it('carries over types, searches, hidden fields and the own patient', () =>
    holds(
      imported(
        {
          resourceType: 'Patient',
          criteria: 'Patient?address-state=CA',
          hiddenFields: ['name'],
          readonlyFields: ['telecom'],
        },
        { resourceType: 'Practitioner', interaction: ['read', 'search', 'vread'] },
        { resourceType: 'Observation', interaction: ['create'] },
      ),
      `identity: { roles: [Sample-Policy] }, level: system, resource: ${PATIENT}, expect: exported, lacks: [Planted], has: [Elm]`,
      `identity: { roles: [Sample-Policy] }, level: system, resource: { resourceType: Patient, id: p2, address: [{ state: NY }] }, expect: withheld`,
      `identity: { roles: [Sample-Policy] }, level: system, resource: ${PRACTITIONER}, expect: exported`,
      `identity: { roles: [Sample-Policy] }, level: system, resource: ${OBSERVATION}, expect: withheld`,
    ));

  it('makes a compartment of the caller the own patient', () =>
    holds(
      imported({ resourceType: 'Observation', criteria: 'Observation?_compartment=%patient' }),
      `identity: { roles: [Sample-Policy], patient: p1, scopes: [patient/*.rs] }, resource: ${OBSERVATION}, expect: exported`,
      `identity: { roles: [Sample-Policy], patient: p2, scopes: [patient/*.rs] }, resource: ${OBSERVATION}, expect: withheld`,
    ));

  for (const [what, one, says] of [
    [
      'a variable',
      { resourceType: 'Patient', criteria: 'Patient?general-practitioner=%profile' },
      /has a variable/,
    ],
    [
      'a compartment',
      { resourceType: 'Observation', criteria: 'Observation?_compartment=Patient/xyz' },
      /use a Group/,
    ],
    [
      'a search of another type',
      { resourceType: 'Patient', criteria: 'Observation?code=1' },
      /does not begin with Patient\?/,
    ],
    ['an unknown search', { resourceType: 'Patient', criteria: 'Patient?colour=red' }, /criteria: .*colour/],
    [
      'a compartment of the entry',
      { resourceType: 'Patient', compartment: { reference: 'Organization/1' } },
      /compartment has no counterpart/,
    ],
    [
      'a hidden field that is mandatory',
      { resourceType: 'Observation', hiddenFields: ['status'] },
      /Observation\.status is mandatory/,
    ],
    [
      'a hidden field that R4 does not have',
      { resourceType: 'Observation', hiddenFields: ['nosuch'] },
      /nosuch is an element of none/,
    ],
    [
      'a search of a hidden field',
      { resourceType: 'Patient', criteria: 'Patient?gender=female', hiddenFields: ['gender'] },
      /Patient\?gender looks at gender/,
    ],
    ['an unknown type', { resourceType: 'Project' }, /no resource type "Project"/],
  ] as const)
    it(`refuses ${what} by name`, () =>
      assert.match(
        refusedAs(() => imported(one)),
        says,
      ));

  it('refuses searches of one type that are alternatives', () =>
    assert.match(
      refusedAs(() =>
        imported(
          { resourceType: 'Observation', criteria: 'Observation?category=laboratory' },
          { resourceType: 'Observation', criteria: 'Observation?category=vital-signs' },
        ),
      ),
      /Observation-1 is about the same type/,
    ));

  it('refuses a policy that is based on another', () =>
    assert.match(
      refusedAs(() =>
        importMedplum(
          JSON.stringify({
            resourceType: 'AccessPolicy',
            basedOn: [{}],
            resource: [{ resourceType: 'Patient' }],
          }),
          'policy.json',
        ),
      ),
      /basedOn/,
    ));
});
