import assert from 'node:assert/strict';
import { parseTypeFilter } from '../../../src/fhir/search/type-filter.ts';

/** Of each query: what it matches, and what it does not. */
type Row = [query: string, matched: unknown[], unmatched: unknown[]];

function table(title: string, rows: Row[]): void {
  describe(title, () => {
    for (const [query, matched, unmatched] of rows) {
      it(query, () => {
        const filter = parseTypeFilter(query);
        for (const resource of matched)
          assert.ok(filter.matches(resource), `${JSON.stringify(resource)} is not found`);
        for (const resource of unmatched)
          assert.ok(!filter.matches(resource), `${JSON.stringify(resource)} is found`);
      });
    }
  });
}

const LOINC = 'http://loinc.org';
const coded = (code?: string, system?: string, more: object = {}) => ({
  code: { coding: [{ system, code, ...more }] },
});

table('a token search', [
  [
    'Observation?code=1-2',
    [coded('1-2'), coded('1-2', LOINC)],
    [coded('1-23'), coded(undefined, LOINC), {}, { code: {} }, { code: { text: '1-2' } }],
  ],
  [
    'Observation?code=http://loinc.org|1-2',
    [coded('1-2', LOINC)],
    [coded('1-2'), coded('1-2', 'http://x'), coded('1-3', LOINC)],
  ],
  ['Observation?code=|1-2', [coded('1-2')], [coded('1-2', LOINC)]],
  ['Observation?code=http://loinc.org|', [coded('1-2', LOINC)], [coded('1-2'), coded('1-2', 'http://x')]],
  ['Observation?code=1-2,http://x|3', [coded('1-2'), coded('3', 'http://x')], [coded('3', LOINC)]],
  ['Observation?code=mixed', [coded('MIXED')], []],
  [
    'Observation?code=a',
    [{ code: { coding: [{ code: 'b' }, { code: 'a' }] } }],
    [{ code: { coding: 'a' } }, { code: 'a' }],
  ],
  [
    'Observation?code:not=a,b',
    [coded('c'), {}],
    [coded('a'), coded('b'), { code: { coding: [{ code: 'c' }, { code: 'a' }] } }],
  ],
  [
    'Observation?code:text=blood',
    [{ code: { text: 'Blood pressure' } }, coded('x', undefined, { display: 'blood' })],
    [coded('blood'), { code: { text: 'high blood pressure' } }],
  ],
  [
    'Observation?category=vital-signs',
    [{ category: [{ coding: [{ code: 'x' }] }, { coding: [{ code: 'vital-signs' }] }] }],
    [{ category: [] }],
  ],
  ['Observation?combo-code=a', [coded('a'), { component: [coded('b'), coded('a')] }], [coded('b')]],
  ['Observation?status=final', [{ status: 'final' }], [{ status: 'FINAL' }, { status: 'amended' }, {}]],
  [
    'Observation?status=http://hl7.org/fhir/observation-status|final',
    [{ status: 'final' }],
    [{ status: 'amended' }],
  ],
  ['Observation?status=http://x|final', [], [{ status: 'final' }]],
  ['Observation?status:not=final', [{ status: 'amended' }, {}], [{ status: 'final' }]],
  ['Encounter?class=AMB', [{ class: { code: 'AMB' } }], [{ class: { code: 'EMER' } }]],
  [
    'Encounter?class:text=ambulatory',
    [{ class: { display: 'Ambulatory' } }],
    [{ class: { code: 'ambulatory' } }],
  ],
  [
    'Patient?identifier=http://x|7',
    [{ identifier: [{ system: 'http://x', value: '7' }] }],
    [{ identifier: [{ value: '7' }] }],
  ],
  [
    'Patient?identifier:of-type=http://t|MR|7',
    [{ identifier: [{ type: { coding: [{ system: 'http://t', code: 'MR' }] }, value: '7' }] }],
    [{ identifier: [{ type: { coding: [{ code: 'MR' }] }, value: '7' }] }, { identifier: [{ value: '7' }] }],
  ],
  [
    'Patient?identifier:text=medical',
    [{ identifier: [{ type: { text: 'Medical record' } }] }],
    [{ identifier: [{ value: 'medical' }] }],
  ],
  [
    'Patient?telecom=555',
    [{ telecom: [{ system: 'fax', value: '555' }] }],
    [{ telecom: [{ value: '5555' }] }],
  ],
  [
    'Patient?phone=555',
    [{ telecom: [{ system: 'phone', value: '555' }] }],
    [{ telecom: [{ system: 'fax', value: '555' }] }],
  ],
  [
    'Patient?email=a@b',
    [
      {
        telecom: [
          { system: 'phone', value: '1' },
          { system: 'email', value: 'a@b' },
        ],
      },
    ],
    [{ telecom: [{ system: 'phone', value: 'a@b' }] }],
  ],
  ['Patient?active=true', [{ active: true }], [{ active: false }, {}, { active: 'yes' }]],
  [
    'Patient?deceased=true',
    [{ deceasedBoolean: true }, { deceasedDateTime: '2020' }],
    [{ deceasedBoolean: false }, {}],
  ],
  [
    'Patient?deceased=false',
    [{ deceasedBoolean: false }, {}],
    [{ deceasedBoolean: true }, { deceasedDateTime: '2020' }],
  ],
  [
    'Group?value=true',
    [{ characteristic: [{ valueBoolean: true }] }],
    [{ characteristic: [{ valueBoolean: false }] }],
  ],
  [
    'Group?value=a',
    [{ characteristic: [{ valueCodeableConcept: { coding: [{ code: 'a' }] } }] }],
    [{ characteristic: [{ valueBoolean: true }] }],
  ],
  ['Patient?_id=a,b', [{ id: 'a' }, { id: 'b' }], [{ id: 'A' }, { id: 'c' }]],
  [
    'Patient?_tag=http://x|t',
    [{ meta: { tag: [{ system: 'http://x', code: 't' }] } }],
    [{ meta: { tag: [{ code: 't' }] } }, { meta: {} }, {}],
  ],
  [
    'Patient?_security:not=R',
    [{}, { meta: { security: [{ code: 'N' }] } }],
    [{ meta: { security: [{ code: 'N' }, { code: 'R' }] } }],
  ],
]);

table('a string search', [
  [
    'Patient?family=mül',
    [
      { name: [{ family: 'Müller' }] },
      { name: [{ family: 'MULLER' }] },
      { name: [{ family: 'Mu\u0308ller' }] },
    ],
    [{ name: [{ family: 'Amüller' }] }, { name: [{ given: ['Mül'] }] }],
  ],
  ['Patient?family=muller', [{ name: [{ family: 'Müller' }] }], []],
  [
    'Patient?family:exact=Müller',
    [{ name: [{ family: 'Müller' }] }],
    [{ name: [{ family: 'Muller' }] }, { name: [{ family: 'Müllers' }] }],
  ],
  ['Patient?family:contains=LLE', [{ name: [{ family: 'Müller' }] }], [{ name: [{ family: 'Mule' }] }]],
  ['Patient?given=ann,bob', [{ name: [{ given: ['Carl', 'Bobby'] }] }], [{ name: [{ given: ['Joann'] }] }]],
  [
    'Patient?name=dr',
    [
      { name: [{ prefix: ['Dr.'] }] },
      { name: [{ text: 'Dr. No' }] },
      { name: [{ family: 'x' }, { suffix: ['DRS'] }] },
    ],
    [{ name: [{ use: 'dr' }] }, { name: [{ family: 'Adr' }] }, {}],
  ],
  ['Patient?name:exact=Ann', [{ name: [{ given: ['Ann'] }] }], [{ name: [{ given: ['ann'] }] }]],
  [
    'Patient?address=bos',
    [
      { address: [{ city: 'Boston' }] },
      { address: [{ line: ['1 A', 'Bosworth St'] }] },
      { address: [{ postalCode: 'BOS1' }] },
    ],
    [{ address: [{ use: 'bos' }] }],
  ],
  [
    'Patient?address-city:contains=ston',
    [{ address: [{ city: 'Boston' }] }],
    [{ address: [{ state: 'Boston' }] }],
  ],
  [
    'Observation?value-string=a',
    [{ valueString: 'Abc' }, { valueCodeableConcept: { text: 'abc' } }],
    [{ valueString: 'b' }],
  ],
]);

const at = (effectiveDateTime: string) => ({ effectiveDateTime });
const during = (start?: string, end?: string) => ({ effectivePeriod: { start, end } });

table('a date search', [
  [
    'Observation?date=2020',
    [at('2020'), at('2020-06'), at('2020-12-31T23:59:59Z'), during('2020-01-01', '2020-12-31')],
    [at('2021'), at('2019-12-31'), during('2019-12-31', '2020-02-01'), during('2020-02-01'), {}, at('junk')],
  ],
  ['Observation?date=eq2020-02', [at('2020-02-29')], [at('2020'), at('2020-03-01')]],
  [
    'Observation?date=2020-01-01T10:00:00Z',
    [
      at('2020-01-01T10:00:00Z'),
      at('2020-01-01T10:00:00.5Z'),
      at('2020-01-01T12:00:00+02:00'),
      { effectiveInstant: '2020-01-01T10:00:00.999Z' },
    ],
    [at('2020-01-01'), at('2020-01-01T10:00:01Z')],
  ],
  ['Observation?date=2020-01-01T10:00', [at('2020-01-01T10:00:59Z')], [at('2020-01-01T10:01:00Z')]],
  [
    'Observation?date=ne2020',
    [at('2021'), during('2019-12-31', '2020-02-01')],
    [at('2020-05'), {}, at('junk')],
  ],
  [
    'Observation?date=gt2020-05',
    [at('2020-06-01'), at('2020'), during('2020-05-01')],
    [at('2020-05-31'), during(undefined, '2020-05-31')],
  ],
  [
    'Observation?date=lt2020-05',
    [at('2020-04-30'), at('2020'), during(undefined, '2020-06')],
    [at('2020-05-01'), during('2020-05')],
  ],
  [
    'Observation?date=ge2020-05',
    [at('2020-05-01'), at('2020'), at('2020-05-31T10:00:00Z'), during('2020-04-30', '2020-05-02')],
    [at('2020-04-30')],
  ],
  [
    'Observation?date=le2020-05',
    [at('2020-05-31'), at('2020-04'), during('2020-05-30', '2020-06-02')],
    [at('2020-06-01'), during('2020-06')],
  ],
  [
    'Observation?date=sa2020-05',
    [at('2020-06-01'), during('2020-06')],
    [at('2020-05-31'), at('2020'), during('2020-05-31', '2020-07')],
  ],
  [
    'Observation?date=eb2020-05',
    [at('2020-04-30'), during(undefined, '2020-04')],
    [at('2020'), during('2020-04-30', '2020-05-01'), during('2020-04-01')],
  ],
  ['Observation?date=ap2020', [at('2019'), at('2020'), at('2021-06-30')], [at('2018'), at('2022')]],
  ['Observation?date=ge2019&date=lt2020', [at('2019'), at('2019-12-31')], [at('2020'), at('2018-12-31')]],
  ['Observation?date=2019,2021', [at('2019'), at('2021')], [at('2020')]],
  [
    'Observation?date=ge2020-01-01T00:00:00-05:00',
    [at('2020-01-01T05:00:00Z')],
    [at('2020-01-01T04:59:59Z')],
  ],
  [
    'Observation?date=2020-05-05',
    [
      { effectiveTiming: { event: ['2020-05-05T08:00:00Z', '2020-05-05T20:00:00Z'] } },
      { effectiveTiming: { repeat: { boundsPeriod: { start: '2020-05-05', end: '2020-05-05' } } } },
    ],
    [
      { effectiveTiming: { event: ['2020-05-05', '2020-05-06'] } },
      { effectiveTiming: { repeat: { frequency: 1 } } },
    ],
  ],
  ['Patient?birthdate=lt1990', [{ birthDate: '1989-12-31' }], [{ birthDate: '1990-01-01' }]],
  [
    'Condition?onset-date=ge2010',
    [{ onsetDateTime: '2011' }, { onsetPeriod: { start: '2012' } }],
    [{ onsetDateTime: '2009' }, { onsetString: '2011' }],
  ],
  [
    'Patient?_lastUpdated=ge2020',
    [{ meta: { lastUpdated: '2020-01-01T00:00:00.000Z' } }],
    [{ meta: { lastUpdated: '2019-12-31T23:59:59.999Z' } }, {}],
  ],
]);

const probability = (probabilityDecimal: number) => ({ prediction: [{ probabilityDecimal }] });
const quantity = (value?: number, code?: string, system?: string, more: object = {}) => ({
  valueQuantity: { value, code, system, ...more },
});
const UCUM = 'http://unitsofmeasure.org';

table('a number search', [
  [
    'RiskAssessment?probability=0.8',
    [probability(0.75), probability(0.8), probability(0.849)],
    [probability(0.85), probability(0.7499)],
  ],
  [
    'RiskAssessment?probability=0.80',
    [probability(0.795), probability(0.8049)],
    [probability(0.805), probability(0.79)],
  ],
  ['RiskAssessment?probability=ne0.8', [probability(0.85)], [probability(0.8), {}]],
  [
    'RiskAssessment?probability=gt0.8',
    [
      probability(0.81),
      { prediction: [{ probabilityRange: { low: { value: 0.1 }, high: { value: 0.9 } } }] },
    ],
    [probability(0.8)],
  ],
  ['RiskAssessment?probability=ge0.8', [probability(0.8)], [probability(0.79999)]],
  ['RiskAssessment?probability=lt8e-1', [probability(0.79)], [probability(0.8)]],
  [
    'RiskAssessment?probability=ap0.5',
    [probability(0.45), probability(0.55)],
    [probability(0.44), probability(0.56)],
  ],
  [
    'ChargeItem?factor-override=1e2',
    [{ factorOverride: 50 }, { factorOverride: 149 }],
    [{ factorOverride: 150 }, { factorOverride: 49 }],
  ],
  [
    'ChargeItem?factor-override=100',
    [{ factorOverride: 99.5 }, { factorOverride: 100 }],
    [{ factorOverride: 100.5 }, { factorOverride: '100' }],
  ],
  [
    'ChargeItem?factor-override=-1',
    [{ factorOverride: -1 }, { factorOverride: -1.5 }],
    [{ factorOverride: -0.5 }, { factorOverride: 1 }],
  ],
  [
    'MolecularSequence?variant-start=ge10',
    [{ variant: [{ start: 3 }, { start: 10 }] }],
    [{ variant: [{ start: 3 }] }],
  ],
]);

table('a quantity search', [
  [
    'Observation?value-quantity=5.40',
    [quantity(5.4), quantity(5.404, 'mg')],
    [quantity(5.41), quantity(), {}],
  ],
  [
    'Observation?value-quantity=5.4|http://unitsofmeasure.org|mg',
    [quantity(5.4, 'mg', UCUM)],
    [quantity(5.4, 'mg'), quantity(5.4, 'g', UCUM), quantity(5.4)],
  ],
  [
    'Observation?value-quantity=gt5||mg',
    [quantity(6, 'mg', UCUM), quantity(6, undefined, undefined, { unit: 'mg' })],
    [quantity(6, 'g'), quantity(5, 'mg')],
  ],
  [
    'Observation?value-quantity=lt5',
    [quantity(4), quantity(9, 'mg', UCUM, { comparator: '<' })],
    [quantity(5), quantity(5, 'mg', UCUM, { comparator: '>' })],
  ],
  ['Observation?value-quantity=gt5', [quantity(2, 'mg', UCUM, { comparator: '>' })], [quantity(5)]],
  [
    'Observation?value-quantity=gt2',
    [{ valueSampledData: { origin: { value: 1 }, factor: 0.5, data: '0 E 4' } }],
    [
      { valueSampledData: { origin: { value: 1 }, data: '0 1 U' } },
      { valueSampledData: { origin: { value: 1 }, data: 'E' } },
    ],
  ],
  [
    'Condition?onset-age=ge40',
    [{ onsetAge: { value: 40 } }, { onsetRange: { low: { value: 30 } } }],
    [{ onsetAge: { value: 39 } }, { onsetRange: { high: { value: 39 } } }],
  ],
  [
    'Condition?onset-age=ge40||a',
    [{ onsetRange: { low: { value: 30, code: 'a' } } }],
    [{ onsetRange: { low: { value: 30, code: 'mo' } } }],
  ],
  [
    'Invoice?totalnet=ge100|urn:iso:std:iso:4217|EUR',
    [{ totalNet: { value: 100, currency: 'EUR' } }],
    [{ totalNet: { value: 100, currency: 'USD' } }, { totalNet: { value: 99, currency: 'EUR' } }],
  ],
  [
    'Invoice?totalnet=100||EUR',
    [{ totalNet: { value: 100, currency: 'EUR' } }],
    [{ totalNet: { value: 100, currency: 'USD' } }],
  ],
]);

const about = (reference?: string, more: object = {}) => ({ subject: { reference, ...more } });

table('a reference search', [
  [
    'Observation?subject=a',
    [about('Patient/a'), about('Group/a'), about('Patient/a/_history/2')],
    [about('Patient/b'), about('http://x/Patient/a'), about('#a'), about('urn:uuid:a'), about(), {}],
  ],
  [
    'Observation?subject=Patient/a',
    [about('Patient/a'), about('Patient/a/_history/2')],
    [about('Group/a'), about('Patient/ab'), about('http://x/Patient/a')],
  ],
  [
    'Observation?subject=Patient/a/_history/2',
    [about('Patient/a/_history/2')],
    [about('Patient/a'), about('Patient/a/_history/3')],
  ],
  ['Observation?subject:Patient=a', [about('Patient/a')], [about('Group/a')]],
  ['Observation?subject:Patient=Patient/a', [about('Patient/a')], [about('Group/a')]],
  [
    'Observation?subject=http://x/Patient/a',
    [about('http://x/Patient/a'), about('http://x/Patient/a/_history/1')],
    [about('Patient/a'), about('http://x/Patient/ab')],
  ],
  ['Observation?subject=urn:uuid:a', [about('urn:uuid:a')], [about('Patient/a')]],
  ['Observation?patient=a', [about('Patient/a')], [about('Group/a')]],
  ['Observation?patient=http://x/Patient/a', [about('http://x/Patient/a')], [about('http://x/Group/a')]],
  [
    'Observation?patient=urn:uuid:a',
    [about('urn:uuid:a', { type: 'Patient' })],
    [about('urn:uuid:a'), about('urn:uuid:a', { type: 'Group' })],
  ],
  ['Observation?subject=Patient/a,Group/b', [about('Group/b')], [about('Patient/b')]],
  [
    'Observation?subject:identifier=http://x|7',
    [about(undefined, { identifier: { system: 'http://x', value: '7' } })],
    [about('Patient/7'), about(undefined, { identifier: { value: '7' } })],
  ],
  [
    'Appointment?location=l',
    [{ participant: [{ actor: { reference: 'Patient/l' } }, { actor: { reference: 'Location/l' } }] }],
    [{ participant: [{ actor: { reference: 'Patient/l' } }] }],
  ],
  [
    'PlanDefinition?depends-on=http://x/Library',
    [
      { library: ['http://x/Library'] },
      { library: ['http://x/Library|2'] },
      { relatedArtifact: [{ type: 'depends-on', resource: 'http://x/Library' }] },
    ],
    [
      { relatedArtifact: [{ type: 'successor', resource: 'http://x/Library' }] },
      { library: ['http://x/Library2'] },
    ],
  ],
]);

table('a uri search', [
  ['ValueSet?url=http://x/a', [{ url: 'http://x/a' }], [{ url: 'http://x/A' }, { url: 'http://x/a/b' }, {}]],
  [
    'Patient?_profile=http://x/p',
    [{ meta: { profile: ['http://y', 'http://x/p'] } }, { meta: { profile: ['http://x/p|1'] } }],
    [{ meta: { profile: ['http://x/p2'] } }],
  ],
  [
    'Patient?_profile=http://x/p\\|1',
    [{ meta: { profile: ['http://x/p|1'] } }],
    [{ meta: { profile: ['http://x/p'] } }],
  ],
  ['Patient?_source=http://x', [{ meta: { source: 'http://x' } }], [{ meta: {} }]],
]);

const pressure = (code: string, value: number) => ({ ...coded(code, LOINC), ...quantity(value, 'mm[Hg]') });

table('a composite search', [
  [
    'Observation?code-value-quantity=http://loinc.org|8480-6$gt140',
    [pressure('8480-6', 150)],
    [pressure('8480-6', 130), pressure('8462-4', 150), { component: [pressure('8480-6', 150)] }],
  ],
  [
    'Observation?component-code-value-quantity=8480-6$gt140',
    [{ component: [pressure('8462-4', 90), pressure('8480-6', 150)] }],
    [{ component: [pressure('8462-4', 150), pressure('8480-6', 130)] }],
  ],
  [
    'Observation?combo-code-value-quantity=8480-6$gt140||mm[Hg],1$1',
    [pressure('8480-6', 150), { component: [pressure('8480-6', 150)] }, pressure('1', 1)],
    [pressure('1', 150)],
  ],
  [
    'Observation?code-value-date=a$gt2020',
    [{ ...coded('a'), valueDateTime: '2021' }],
    [{ ...coded('a'), valueDateTime: '2019' }],
  ],
  [
    'DocumentReference?relationship=replaces$DocumentReference/a',
    [{ relatesTo: [{ code: 'replaces', target: { reference: 'DocumentReference/a' } }] }],
    [{ relatesTo: [{ code: 'appends', target: { reference: 'DocumentReference/a' } }] }],
  ],
  ['Observation?code-value-quantity:missing=true', [coded('a')], [pressure('a', 1)]],
]);

table('the modifier :missing', [
  ['Patient?gender:missing=true', [{}, { _gender: { extension: [] } }], [{ gender: 'male' }]],
  ['Patient?gender:missing=false', [{ gender: 'male' }], [{}]],
  ['Observation?date:missing=true', [{}], [at('2020'), during('2020')]],
  [
    'Patient?phone:missing=true',
    [{ telecom: [{ system: 'fax', value: '1' }] }],
    [{ telecom: [{ system: 'phone', value: '1' }] }],
  ],
  ['Patient?name:missing=true', [{ name: [] }, {}], [{ name: [{ family: 'a' }] }]],
]);

describe('_lastUpdated', () => {
  it('is the one of the log where the resource has none', () => {
    const filter = parseTypeFilter('Patient?_lastUpdated=2020-05-05');
    const noon = Date.UTC(2020, 4, 5, 12);
    assert.ok(filter.matches({}, noon));
    assert.ok(filter.matches({ meta: {} }, noon));
    assert.ok(!filter.matches({}, noon + 86_400_000));
    assert.ok(!filter.matches({}, null));
    assert.ok(!filter.matches({ meta: { lastUpdated: '2019-05-05T00:00:00Z' } }, noon));
  });
});
