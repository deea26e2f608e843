import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testAccess } from '../../src/main/access-test.ts';
import type { CaseResult } from '../../src/main/access-test.ts';

const ACCESS = `
version: 1
issuers: { embedded: {} }
clients:
  warehouse: { jwks: { keys: [] }, scopes: [system/*.rs], roles: [service] }
  lab: { jwks: { keys: [] }, scopes: [system/*.rs], roles: [research] }
  acme: { jwks: { keys: [] }, scopes: [system/*.rs], roles: [sponsor], attributes: { groups: [arm-a] } }
roles:
  service:
    export: { levels: [system, patient, group], groups: '*' }
    rules: [{ id: all, types: '*', where: everything }]
  research:
    export: { levels: [patient] }
    rules:
      - { id: patients, types: [Patient], where: { compartment: any }, redact: [{ path: name, do: remove }, { path: birthDate, do: year }] }
      - { id: labs, types: [Observation], where: { compartment: any, criteria: ['Observation?category=laboratory'] } }
  sponsor:
    export: { levels: [group], groups: { claim: groups } }
    rules: [{ id: own-arm, types: [Patient, Observation], where: { group: { claim: groups } }, shared: exclude }]
  patient:
    export: { levels: [patient] }
    rules:
      - { id: shared, effect: deny, types: [Group], where: everything }
      - { id: own-record, types: '*', where: { patient: self }, shared: exclude }
`;

const PATIENT = '{ resourceType: Patient, id: p1, name: [{ family: Planted }], birthDate: "1970-01-02" }';
const OBSERVATION =
  '{ resourceType: Observation, id: o1, status: final, subject: { reference: Patient/p1 } }';

describe('headwater access test', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headwater-access-test-'));
    await writeFile(join(folder, 'access.yaml'), ACCESS);
    await writeFile(
      join(folder, 'p1.json'),
      JSON.stringify({ resourceType: 'Patient', id: 'p1', name: [{ family: 'Planted' }] }),
    );
  });
  after(() => rm(folder, { recursive: true }));

  async function run(...cases: readonly string[]): Promise<CaseResult[]> {
    const path = join(folder, 'cases.yaml');
    await writeFile(path, `cases:\n${cases.map((one) => `  - { name: a case, ${one} }\n`).join('')}`);
    return testAccess({ file: join(folder, 'access.yaml'), keysFolder: undefined }, path);
  }

  async function hold(...cases: readonly string[]): Promise<void> {
    assert.deepEqual(
      (await run(...cases)).flatMap(({ problems }) => problems),
      [],
    );
  }

  async function fails(one: string, says: RegExp): Promise<void> {
    const [result] = await run(one);
    assert.match(result?.problems.join('\n') ?? '', says);
  }

  it('judges the resources of each role as an export would', () =>
    hold(
      `as: warehouse, level: system, resource: ${PATIENT}, expect: exported, by: service/all, has: [Planted]`,
      `as: lab, resource: ${PATIENT}, expect: exported, by: research/patients, lacks: [Planted, 1970-01], has: [REDACTED, '"1970"']`,
      `as: lab, resource: p1.json, expect: exported, lacks: [Planted]`,
      `as: lab, level: system, resource: ${PATIENT}, expect: refused`,
      `as: lab, resource: ${OBSERVATION}, expect: withheld`,
      `as: lab, resource: { resourceType: Condition, id: c, subject: { reference: Patient/p1 } }, expect: withheld`,
      `as: acme, level: group, group: arm-a, groups: { arm-a: [p1] }, resource: ${OBSERVATION}, expect: exported, equals: ${OBSERVATION}`,
      `as: acme, level: group, group: arm-a, groups: { arm-a: [p2] }, resource: ${OBSERVATION}, expect: withheld`,
      `as: acme, level: group, group: arm-b, resource: ${OBSERVATION}, expect: refused`,
      `identity: { roles: [patient], patient: p1, scopes: [patient/*.rs] }, resource: ${OBSERVATION}, expect: exported`,
      `identity: { roles: [patient], patient: p2, scopes: [patient/*.rs] }, resource: ${OBSERVATION}, expect: withheld`,
    ));

  it('says of a case that fails what is instead, and why', async () => {
    await fails(
      `as: lab, resource: ${OBSERVATION}, expect: exported`,
      /it is withheld, not exported \(research\/labs holds, but no search of it matches\)/,
    );
    await fails(
      `as: lab, resource: ${PATIENT}, expect: withheld`,
      /it is exported by research\/patients, not withheld/,
    );
    await fails(
      `as: lab, resource: ${PATIENT}, expect: exported, by: research\/labs`,
      /by research\/patients, not by research\/labs/,
    );
    await fails(`as: lab, resource: ${PATIENT}, expect: exported, has: [Planted]`, /it lacks Planted/);
    await fails(`as: warehouse, resource: ${PATIENT}, expect: exported, lacks: [Planted]`, /it has Planted/);
    await fails(
      `as: warehouse, resource: ${PATIENT}, expect: exported, equals: ${OBSERVATION}`,
      /it is \{"resourceType":"Patient"/,
    );
    await fails(`as: lab, level: system, resource: ${PATIENT}, expect: exported`, /refused: .*system level/);
  });

  it('names what is wrong in a file of cases', async () => {
    for (const [one, says] of [
      [`as: stranger, resource: ${PATIENT}, expect: exported`, /no such client/],
      [`resource: ${PATIENT}, expect: exported`, /cases\.0: give one of as and identity/],
      [`as: lab, resource: ${PATIENT}, expect: maybe`, /cases\.0\.expect/],
      [
        `as: lab, resource: missing.json, expect: exported`,
        /cases\.0\.resource: cannot read .*missing\.json/,
      ],
      [`as: lab, resource: access.yaml, expect: exported`, /holds no resource/],
      [`identity: { roles: [none] }, resource: ${PATIENT}, expect: exported`, /no role "none"/],
      [`as: lab, resource: ${PATIENT}, expect: exported, more: 1`, /more/],
    ] as const)
      await assert.rejects(run(one), says);
  });
});
