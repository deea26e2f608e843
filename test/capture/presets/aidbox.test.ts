import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { toFhir } from '../../../src/capture/presets/aidbox/convert.ts';
import { render } from '../../../src/capture/presets/render.ts';
import { numbersAsText } from '../../../src/fhir/number-text.ts';
import { elementsOf } from '../../../src/fhir/types.ts';
import { toAidbox } from '../../servers/aidbox/aidbox-form.ts';
import { sampleLines } from '../../support/sample.ts';

const fhir = (aidbox: object | string, type: string, dialect: 'aidbox' | 'fhirbase' = 'aidbox'): unknown => {
  const text = typeof aidbox === 'string' ? aidbox : JSON.stringify(aidbox);
  return JSON.parse(toFhir(Buffer.from(text), type, dialect).toString());
};
/** Every type and path of a backbone element. */
const TYPES = Object.keys(
  JSON.parse(readFileSync(new URL('../../../src/fhir/types-r4.json', import.meta.url), 'utf8')) as object,
);
const ANY = [
  'string',
  'Quantity',
  'Reference',
  'CodeableConcept',
  'dateTime',
  'Age',
  'Timing',
  'base64Binary',
];
const CASES: readonly [rule: string, type: string, stored: object, given: object][] = [
  [
    'a reference by type and id, with what stands beside it',
    'Observation',
    { subject: { display: 'P', id: 'p1', resourceType: 'Patient', identifier: { value: 'v' } } },
    { subject: { reference: 'Patient/p1', display: 'P', identifier: { value: 'v' } } },
  ],
  [
    'a reference elsewhere',
    'Observation',
    { subject: { uri: 'http://x/Patient/1' } },
    { subject: { reference: 'http://x/Patient/1' } },
  ],
  [
    'a reference within the resource',
    'Observation',
    { subject: { localRef: 'c1' } },
    { subject: { reference: '#c1' } },
  ],
  [
    'a reference without a target',
    'Observation',
    { subject: { display: 'P' } },
    { subject: { display: 'P' } },
  ],
  ['an element with several types', 'Patient', { deceased: { boolean: true } }, { deceasedBoolean: true }],
  [
    'a reference as one of several types',
    'MedicationRequest',
    { medication: { Reference: { id: 'm', resourceType: 'Medication' } } },
    { medicationReference: { reference: 'Medication/m' } },
  ],
  [
    'an extension as it came, and in the corrected form',
    'Patient',
    {
      extension: [
        { url: 'a', valueString: 's' },
        { url: 'b', value: { Reference: { id: 'p', resourceType: 'Patient' } } },
      ],
    },
    {
      extension: [
        { url: 'a', valueString: 's' },
        { url: 'b', valueReference: { reference: 'Patient/p' } },
      ],
    },
  ],
  [
    'an extension of a primitive element',
    'Patient',
    { _birthDate: { extension: [{ url: 'a', value: { dateTime: '2020' } }] } },
    { _birthDate: { extension: [{ url: 'a', valueDateTime: '2020' }] } },
  ],
  [
    'an extension of a primitive value of several types',
    'Observation',
    {
      effective: { dateTime: '2020' },
      _effective: { dateTime: { extension: [{ url: 'a', value: { code: 'c' } }] } },
      _valueDateTime: { extension: [{ url: 'a', valueCode: 'c' }] },
    },
    {
      effectiveDateTime: '2020',
      _effectiveDateTime: { extension: [{ url: 'a', valueCode: 'c' }] },
      _valueDateTime: { extension: [{ url: 'a', valueCode: 'c' }] },
    },
  ],
  [
    'data that is kept elsewhere, as the extension that tells where',
    'DocumentReference',
    {
      content: [{ attachment: { _data: { extension: [{ url: 'offloaded', value: { url: 'gs://b/o' } }] } } }],
    },
    { content: [{ attachment: { _data: { extension: [{ url: 'offloaded', valueUrl: 'gs://b/o' }] } } }] },
  ],
  [
    'resources within resources',
    'Bundle',
    {
      entry: [
        {
          resource: {
            resourceType: 'Observation',
            value: { string: 's' },
            contained: [{ resourceType: 'Patient', deceased: { dateTime: '2020' } }],
          },
        },
      ],
    },
    {
      entry: [
        {
          resource: {
            resourceType: 'Observation',
            valueString: 's',
            contained: [{ resourceType: 'Patient', deceasedDateTime: '2020' }],
          },
        },
      ],
    },
  ],
  [
    'an element that repeats itself',
    'Questionnaire',
    { item: [{ item: [{ answerOption: [{ value: { Coding: { code: 'c' } } }] }] }] },
    { item: [{ item: [{ answerOption: [{ valueCoding: { code: 'c' } }] }] }] },
  ],
];

describe("a body in Aidbox's form", () => {
  for (const [rule, type, stored, given] of CASES)
    it(`becomes FHIR: ${rule}`, () => assert.deepEqual(fhir(stored, type), given));

  it('becomes FHIR for each type of each element of every type', () => {
    let tried = 0;
    for (const type of TYPES) {
      for (const [name, element] of elementsOf(type)) {
        if (element.of !== 'choice') continue;
        for (const one of element.types === 'any' ? ANY : element.types) {
          const [stored, given] =
            one === 'Reference' ? [{ id: 'p', resourceType: 'Patient' }, { reference: 'Patient/p' }] : [1, 1];
          const suffix = `${one.charAt(0).toUpperCase()}${one.slice(1)}`;
          assert.deepEqual(
            fhir({ [name]: { [one]: stored } }, type),
            { [`${name}${suffix}`]: given },
            `${type}.${name}`,
          );
          tried++;
        }
      }
    }
    assert.ok(tried > 500, `${tried} were tried`);
  });

  it('becomes the resource that it was, for every resource of the sample, digits included', () => {
    let compared = 0;
    for (const [type, lines] of sampleLines()) {
      for (const line of lines) {
        const stored = toAidbox(numbersAsText(line), compared++ % 2 === 0);
        const text = JSON.stringify(stored).replaceAll(/"\\u0000([^"]*)"/g, '$1'); // the digits of numbers
        const back = toFhir(Buffer.from(text), type, 'aidbox').toString();
        assert.deepEqual(numbersAsText(back), numbersAsText(line));
      }
    }
    assert.ok(compared > 4_000);
  });

  it('is refused where the rules do not tell what it means', () => {
    const refused = (stored: object, line: RegExp): void =>
      assert.throws(() => fhir(stored, 'Observation'), { code: 'corrupt', message: line });
    refused({ subject: { id: 'p1' } }, /only one of id and resourceType/);
    refused({ subject: { resourceType: 'Patient', identifier: {} } }, /only one of id and resourceType/);
    refused({ _value: { extension: [] } }, /element _value/);
    refused({ value: { string: 's', Quantity: {} } }, /element value is no object with its type/);
    refused({ value: 's' }, /element value/);
    refused({ value: { Address: {} } }, /element value/);
    refused({ contained: [{ id: 'x' }] }, /no resourceType/);
    const deep = `${'{"extension":['.repeat(200)}${']}'.repeat(200)}`;
    assert.throws(() => fhir(deep, 'Observation'), { code: 'corrupt', message: /nested/ });
    const arrays = `{"extension":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
    assert.throws(() => fhir(arrays, 'Observation'), { code: 'corrupt', message: /nested/ });
  });

  it('of FHIRbase may have the text of a reference as its id', () => {
    assert.deepEqual(fhir({ subject: { id: 'urn:uuid:1' } }, 'Observation', 'fhirbase'), {
      subject: { reference: 'urn:uuid:1' },
    });
  });

  // Aidbox's documentation, $dump: the same patients with and without fhir=true.
  it('becomes what $dump?fhir=true of the documentation answers', () => {
    const rendering = { kind: 'aidbox', dialect: 'aidbox', createdAtUrl: 'ex:createdAt' } as const;
    const columns = { lastUpdated: 0, body: null, deleted: false };
    const time = '2021-06-10 08:26:10.707454+00';
    const instant = '2021-06-10T08:26:10.707454Z';
    const row = {
      ...columns,
      type: 'Patient',
      id: 'pt-3',
      version: '483',
      updated: time,
      extra: { cts: time },
    };
    const body = Buffer.from('{"name": [{"given": ["Charles"]}], "citizenship": [{"code": {"text": "ru"}}]}');
    assert.deepEqual(JSON.parse(render(row, body, rendering).toString()), {
      id: 'pt-3',
      meta: {
        versionId: '483',
        lastUpdated: instant,
        extension: [{ url: 'ex:createdAt', valueInstant: instant }],
      },
      name: [{ given: ['Charles'] }],
      citizenship: [{ code: { text: 'ru' } }],
      resourceType: 'Patient',
    });
  });

  it('gets id, type, version and times from columns', () => {
    const row = {
      type: 'Patient',
      id: 'p',
      version: '7',
      lastUpdated: 0,
      updated: '2026-11-27 01:02:03.456789+00',
      body: null,
      deleted: false,
      extra: { cts: '2026-01-01 00:00:00+00' },
    };
    const rendering = { kind: 'aidbox', dialect: 'aidbox', createdAtUrl: 'https://x/created' } as const;
    const body = Buffer.from('{"meta": {"tag": [], "extension": [{"url": "ü"}]}, "active": true}');
    assert.deepEqual(JSON.parse(render(row, body, rendering).toString()), {
      resourceType: 'Patient',
      id: 'p',
      meta: {
        versionId: '7',
        lastUpdated: '2026-11-27T01:02:03.456789Z',
        extension: [{ url: 'ü' }, { url: 'https://x/created', valueInstant: '2026-01-01T00:00:00.000Z' }],
        tag: [],
      },
      active: true,
    });
  });
});
