import assert from 'node:assert/strict';
import { HeadwaterError } from '../../src/base/errors.ts';
import { refuseRedactedFilters } from '../../src/access/redacted-filters.ts';
import { compileTypeFilters } from '../../src/fhir/search/type-filter.ts';
import table from '../../src/fhir/search/search-parameters-r4.json' with { type: 'json' };

/** The elements that each search parameter looks at, by hand from the pages of R4 (hl7.org/fhir/R4/patient.html#search, observation.html#search). */
const LOOKS_AT: Readonly<Record<'Patient' | 'Observation', Readonly<Record<string, readonly string[]>>>> = {
  Patient: {
    active: ['active'],
    address: ['address'],
    'address-city': ['address'],
    'address-country': ['address'],
    'address-postalcode': ['address'],
    'address-state': ['address'],
    'address-use': ['address'],
    birthdate: ['birthDate'],
    'death-date': ['deceased'],
    deceased: ['deceased'],
    email: ['telecom'],
    family: ['name'],
    gender: ['gender'],
    'general-practitioner': ['generalPractitioner'],
    given: ['name'],
    identifier: ['identifier'],
    language: ['communication'],
    link: ['link'],
    name: ['name'],
    organization: ['managingOrganization'],
    phone: ['telecom'],
    telecom: ['telecom'],
  },
  Observation: {
    'based-on': ['basedOn'],
    category: ['category'],
    code: ['code'],
    'code-value-concept': ['code', 'value'],
    'code-value-date': ['code', 'value'],
    'code-value-quantity': ['code', 'value'],
    'code-value-string': ['code', 'value'],
    'combo-code': ['code', 'component'],
    'combo-code-value-concept': ['code', 'value', 'component'],
    'combo-code-value-quantity': ['code', 'value', 'component'],
    'combo-data-absent-reason': ['dataAbsentReason', 'component'],
    'combo-value-concept': ['value', 'component'],
    'combo-value-quantity': ['value', 'component'],
    'component-code': ['component'],
    'component-code-value-concept': ['component'],
    'component-code-value-quantity': ['component'],
    'component-data-absent-reason': ['component'],
    'component-value-concept': ['component'],
    'component-value-quantity': ['component'],
    'data-absent-reason': ['dataAbsentReason'],
    date: ['effective'],
    'derived-from': ['derivedFrom'],
    device: ['device'],
    encounter: ['encounter'],
    focus: ['focus'],
    'has-member': ['hasMember'],
    identifier: ['identifier'],
    method: ['method'],
    'part-of': ['partOf'],
    patient: ['subject'],
    performer: ['performer'],
    specimen: ['specimen'],
    status: ['status'],
    subject: ['subject'],
    'value-concept': ['value'],
    'value-date': ['value'],
    'value-quantity': ['value'],
    'value-string': ['value'],
  },
};

/** Not supported: how names sound is not defined by R4. */
const UNKNOWN = ['phonetic'];

describe('searches under redaction', () => {
  it('are refused for every client if the parameter is not supported', () => {
    for (const code of UNKNOWN)
      assert.throws(() => compileTypeFilters([`Patient?${code}=x`]), new RegExp(code));
  });

  for (const [type, parameters] of Object.entries(LOOKS_AT)) {
    it(`know every search parameter of ${type} that can be used`, () =>
      assert.deepEqual(
        Object.keys((table as Record<string, object>)[type] ?? {})
          .filter((code) => !UNKNOWN.includes(code))
          .sort(),
        Object.keys(parameters).sort(),
      ));

    const elements = [...new Set(Object.values(parameters).flat())];
    for (const [code, looked] of Object.entries(parameters))
      it(`${type}?${code} is refused exactly when a rule redacts ${looked.join(' or ')}`, () => {
        for (const path of elements) {
          const redact = [{ path, do: 'remove' } as const];
          const rule = {
            id: 'role/rule',
            effect: 'allow',
            types: [type],
            where: { kind: 'any' },
            shared: 'any',
            redact,
          } as const;
          for (const modifier of ['', ':missing', ':not']) {
            const ask = (): void => refuseRedactedFilters([`${type}?${code}${modifier}=x`], [rule]);
            if (!looked.includes(path)) ask();
            else
              assert.throws(ask, (error) => {
                assert.ok(error instanceof HeadwaterError && error.code === 'forbidden');
                return error.message.includes(`${type}?${code} looks at ${path}`);
              });
          }
        }
      });
  }
});
