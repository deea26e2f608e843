import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importFireArrow } from '../../../src/access/import/fire-arrow.ts';
import { accessFileOf } from '../../../src/access/import/imported.ts';
import type { Imported } from '../../../src/access/import/imported.ts';
import { importMedplum } from '../../../src/access/import/medplum.ts';
import { HeadwaterError } from '../../../src/base/errors.ts';
import { testAccess } from '../../../src/main/access-test.ts';

const PATIENT =
  '{ resourceType: Patient, id: p1, name: [{ family: Planted }], telecom: [{ system: phone, value: "9876543" }], address: [{ state: CA, line: [Elm] }] }';
const OBSERVATION =
  '{ resourceType: Observation, id: o1, status: final, subject: { reference: Patient/p1 } }';
const PRACTITIONER = '{ resourceType: Practitioner, id: d1 }';

describe('headwater access import', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headwater-access-import-'));
    await writeFile(join(folder, 'fire-arrow'), 'a key of the tests that is long enough');
  });
  after(() => rm(folder, { recursive: true }));

  /** Judges resources by what was imported. */
  async function holds(imported: Imported, ...cases: readonly string[]): Promise<void> {
    const [file, path] = [join(folder, 'access.yaml'), join(folder, 'cases.yaml')];
    await writeFile(file, accessFileOf(imported));
    await writeFile(path, `cases:\n${cases.map((one) => `  - { name: a case, ${one} }\n`).join('')}`);
    const results = await testAccess({ file, keysFolder: folder }, path);
    assert.deepEqual(
      results.flatMap(({ problems }) => problems),
      [],
    );
  }

  function refusedAs(work: () => Imported): string {
    let message = '';
    assert.throws(work, (error) => {
      message = (error as Error).message;
      return error instanceof HeadwaterError && error.code === 'bad-request';
    });
    return message;
  }

  describe('from Fire Arrow', () => {
    const rulesOf = (...rules: readonly string[]): string =>
      `fire-arrow:\n  authorization:\n    default-validator: Forbidden\n    validation-rules:\n${rules
        .map((one) => `      - { ${one} }\n`)
        .join('')}`;
    const both = (rest: string): string[] =>
      ['read', 'search'].map((operation) => `${rest}, operation: ${operation}`);
    const imported = (...rules: readonly string[]): Imported =>
      importFireArrow(rulesOf(...rules), 'application.yaml');

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
        'a late Forbidden',
        [
          ...both('client-role: A, resource: Patient, validator: Allowed'),
          ...both('client-role: A, resource: Patient, validator: Forbidden'),
        ],
        /it would come first/,
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

  describe('from Medplum', () => {
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
      [
        'an unknown search',
        { resourceType: 'Patient', criteria: 'Patient?colour=red' },
        /criteria: .*colour/,
      ],
      [
        'a compartment of the entry',
        { resourceType: 'Patient', compartment: { reference: 'Organization/1' } },
        /compartment has no counterpart/,
      ],
      ['an unknown type', { resourceType: 'Project' }, /no resource type "Project"/],
    ] as const)
      it(`refuses ${what} by name`, () =>
        assert.match(
          refusedAs(() => imported(one)),
          says,
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
});
