import assert from 'node:assert/strict';
import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4';
import { compilePath } from '../../src/deidentify/path.ts';
import { treeOf } from '../../src/deidentify/tree.ts';
import { writtenOf } from '../../src/deidentify/written.ts';

const PATIENT = {
  resourceType: 'Patient',
  name: [
    { use: 'official', family: 'A', given: ['B', 'C'], period: { start: '2020' } },
    { use: 'usual', family: 'D' },
  ],
  telecom: [
    { system: 'phone', use: 'home', value: '1' },
    { system: 'email', use: 'home', value: '2' },
  ],
  deceasedDateTime: '2020-01-01',
  contact: [{ name: { family: 'E' } }],
};

describe('the path of a rule', () => {
  for (const path of [
    'Patient.name',
    'Patient.name.given',
    'Patient.name[1].family',
    'Patient.name.first().given',
    "Patient.name.where(use = 'usual').family",
    "Patient.name.where(use != 'usual').family",
    'Patient.name.where(period.exists()).family',
    "Patient.telecom.where(system = 'phone' and use = 'home').value",
    "Patient.telecom.where(system = 'email' or value = '1').value",
    'Patient.deceased',
    'Patient.deceased as dateTime',
    'Patient.deceased.ofType(boolean)',
    '(Patient.deceased as dateTime) | Patient.contact.name.family',
    'Patient.contact.children().family',
    'Observation.value',
  ]) {
    it(`selects the same elements as fhirpath.js: ${path}`, () => {
      const { root } = treeOf(PATIENT);
      const own = compilePath(path)(root).map((node) => node.value ?? writtenOf(node));
      const expected = fhirpath.evaluate(PATIENT, path, {}, r4) as unknown[];
      assert.deepEqual(own, JSON.parse(JSON.stringify(expected)));
    });
  }

  it('selects by type and by name at any depth, but not in contained resources', () => {
    const contained = [{ resourceType: 'Patient', name: [{ family: 'F' }] }];
    const { root } = treeOf({ ...PATIENT, contained });
    const values = (path: string): unknown[] => compilePath(path)(root).map(({ value }) => value);
    assert.deepEqual(values("nodesByType('HumanName').family"), ['A', 'D', 'E']);
    assert.deepEqual(values("nodesByName('family')"), ['A', 'D', 'E']);
    assert.deepEqual(values("nodesByType('dateTime')"), ['2020', '2020-01-01']);
    assert.deepEqual(values("nodesByType('ContactPoint').where(use='home').value"), ['1', '2']);
  });
});
