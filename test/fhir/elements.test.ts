import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compileElements, parseElements } from '../../src/fhir/elements.ts';
import { sampleLines } from '../support/sample.ts';

const TAG = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };
const TEXT = JSON.stringify(TAG);

/** What is left of a resource's text. */
function cut(elements: string | readonly string[], type: string, text: string): string {
  const bytes = Buffer.from(`,${text}}`); // the scan ends at a given offset
  const reduce = compileElements([elements].flat(), type);
  return reduce ? reduce(bytes, 1, bytes.length - 1).toString() : text;
}

function keysOf(elements: string | readonly string[], type: string, resource: object): string[] {
  return Object.keys(JSON.parse(cut(elements, type, JSON.stringify({ resourceType: type, ...resource }))));
}

describe('_elements', () => {
  const observation = {
    id: 'o',
    meta: { versionId: '1', tag: [{ code: 'mine' }] },
    text: { status: 'empty' },
    status: 'final',
    _status: { id: 's' },
    code: { text: 'c' },
    subject: { reference: 'Patient/p' },
    valueQuantity: { value: 1 },
    _valueString: { id: 'v' },
    valuesOfMine: 1,
    component: [],
  };
  const ALWAYS = ['resourceType', 'id', 'meta', 'status', '_status', 'code'];

  it('keeps what is asked for, id, meta and what is mandatory', () => {
    assert.deepEqual(keysOf('Observation.subject', 'Observation', observation), [...ALWAYS, 'subject']);
  });

  it('takes value, value[x] and valueQuantity for the same element, which stays under each of its names', () => {
    for (const name of ['value', 'value[x]', 'valueQuantity', 'Observation.valueString'])
      assert.deepEqual(keysOf(name, 'Observation', observation), [
        ...ALWAYS,
        'valueQuantity',
        '_valueString',
      ]);
  });

  it('keeps modifiers, which change what the rest means', () => {
    const modifiers = {
      implicitRules: 'http://example.org/rules',
      modifierExtension: [{ url: 'http://example.org/not', valueBoolean: true }],
    };
    const kept: [string, object][] = [
      ['Condition', { ...modifiers, clinicalStatus: {}, verificationStatus: {} }],
      ['AllergyIntolerance', { ...modifiers, clinicalStatus: {}, verificationStatus: {} }],
      ['Patient', { ...modifiers, active: false, deceasedDateTime: '2020', _deceasedDateTime: {}, link: [] }],
      ['MedicationRequest', { ...modifiers, status: 'stopped', doNotPerform: true }],
      ['Immunization', { ...modifiers, status: 'not-done', isSubpotent: true }],
      ['DocumentReference', { ...modifiers, status: 'entered-in-error' }],
    ];
    for (const [type, elements] of kept)
      assert.deepEqual(keysOf('id', type, elements), ['resourceType', 'meta', ...Object.keys(elements)]);
  });

  it('keeps what an invariant asks for beside it', () => {
    assert.deepEqual(keysOf('id', 'Organization', { name: 'o', identifier: [], alias: ['a'] }), [
      ...['resourceType', 'meta', 'name', 'identifier'],
    ]);
  });

  it('leaves a type that is not addressed as it is', () => {
    assert.equal(compileElements(['Patient.id'], 'Observation'), undefined);
  });

  it('takes lists and repeats together, by type and for all types', () => {
    const wanted = ['Observation.subject,Patient.name', ' gender ', 'resourceType', 'class'];
    const patient = { id: 'p', name: [{}], gender: 'male', birthDate: '1990' };
    assert.deepEqual(keysOf(wanted, 'Patient', patient), ['resourceType', 'id', 'meta', 'name', 'gender']);
    assert.deepEqual(keysOf(wanted, 'Encounter', { id: 'e', type: [], class: {} }), [
      ...['resourceType', 'id', 'meta', 'class'],
    ]);
  });

  describe('splices bytes:', () => {
    it('numbers keep their digits, strings their escapes, objects their order and white space', () => {
      const kept = [
        '"valueQuantity" : {"unit":"\\u00b5g\\/l", "value":1.50,"x":[1e2,-0.0, 12345678901234567890.1234567890]}',
        ' "status":\t"fin\\u0061l"',
        '"code":{ }',
      ];
      const text = `{ "id":"o",${kept[0]},"note":[{"text":"}]\\"{["}],${kept[1]},"meta": { "tag":[ ] } ,${kept[2]} }`;
      assert.equal(
        cut('value', 'Observation', text),
        `{ "id":"o",${kept[0]},${kept[1]},"meta": { "tag":[${TEXT} ] } ,${kept[2]} }`,
      );
    });

    it('a name is what its escapes say', () => {
      const text = '{"\\u0069d":"p","n\\u0061me":[1.0],"\\u0062irthDate":"1990","_gend\\u0065r":{}}';
      assert.equal(
        cut('name,gender', 'Patient', text),
        `{"\\u0069d":"p","meta":{"tag":[${TEXT}]},"n\\u0061me":[1.0],"_gend\\u0065r":{}}`,
      );
    });

    it('a name that occurs twice stays or goes twice, and the last meta is tagged', () => {
      const text =
        '{"meta":1,"id":"a","name":[1],"gender":"x","name":[2],"meta":{"source":"s"},"gender":"y"}';
      assert.equal(
        cut('name', 'Patient', text),
        `{"meta":1,"id":"a","name":[1],"name":[2],"meta":{"source":"s","tag":[${TEXT}]}}`,
      );
    });

    const TAGGED: [string, string, string][] = [
      [
        'where there is no meta, after the id',
        '{"x":1,"id":"p","active":true}',
        `{"id":"p","meta":{"tag":[T]},"active":true}`,
      ],
      [
        'after the resourceType without an id',
        '{"resourceType":"Patient"}',
        `{"resourceType":"Patient","meta":{"tag":[T]}}`,
      ],
      ['first without both', '{"active":true}', `{"meta":{"tag":[T]},"active":true}`],
      ['in an empty object', ' { } ', `{"meta":{"tag":[T]}}`],
      ['in an empty meta', '{"meta":{ }}', `{"meta":{"tag":[T] }}`],
      [
        'after other tags',
        '{"meta":{"tag":[{"code":"a"} ],"b":1}}',
        `{"meta":{"tag":[{"code":"a"},T ],"b":1}}`,
      ],
      ['in place of a null', '{"meta":null}', `{"meta":{"tag":[T]}}`],
      ['in place of tags that are no list', '{"meta":{"tag":null,"a":1.0}}', `{"meta":{"tag":[T],"a":1.0}}`],
      ['once', '{"meta":{"tag":[{"code":"SUBS\\u0045TTED","a":1, "system":"S"}]}}', ''],
    ];
    for (const [where, text, expected] of TAGGED)
      it(`the tag is put ${where}`, () => {
        const source = text.replace('"S"', JSON.stringify(TAG.system));
        assert.equal(
          cut('id', 'Patient', source),
          expected.replace('[T]', `[${TEXT}]`).replace(',T ]', `,${TEXT} ]`) || source,
        );
      });

    it('100 000 nested extensions are nothing special, kept or left out', () => {
      const depth = 100_000;
      const nested = `${'[{"extension":'.repeat(depth)}[]${'}]'.repeat(depth)}`;
      const text = `{"resourceType":"Medication","id":"m","extension":${nested},"meta":{"extension":${nested}}}`;
      const meta = `"meta":{"extension":${nested},"tag":[${TEXT}]}`;
      assert.equal(cut('code', 'Medication', text), `{"resourceType":"Medication","id":"m",${meta}}`);
      assert.equal(
        cut('extension', 'Medication', text),
        text.replace(/"meta".*/, () => `${meta}}`),
      );
    });

    it('of any JSON keeps what JSON.parse finds under the names to keep', () => {
      const names = fc.constantFrom(
        'id',
        'meta',
        'name',
        '_name',
        'gender',
        'contained',
        'extension',
        'é',
        '"',
      );
      const objects = fc.dictionary(names, fc.jsonValue()).filter((resource) => !('__proto__' in resource));
      fc.assert(
        fc.property(objects, fc.constantFrom(undefined, 1, '\t'), (resource, indent) => {
          const left = JSON.parse(cut('name', 'Patient', JSON.stringify(resource, undefined, indent)));
          const expected = Object.entries(resource).filter(([name]) => /^(id|_?name)$/.test(name));
          delete left.meta;
          delete left.contained; // see below
          assert.deepEqual(left, JSON.parse(JSON.stringify(Object.fromEntries(expected))));
        }),
      );
    });
  });

  describe('of what is contained', () => {
    const contained = [
      '{"resourceType":"Coverage","id":"coverage","payor":[{"reference":"#payor"}]}',
      '{"id":"payor" ,"resourceType":"Organization"}',
      '{"resourceType":"Practitioner","id":"unused","extension":[{"valueReference":{"reference":"#coverage"}}]}',
    ] as const;
    const before = `{"id":"e","meta":{"tag":[${TEXT}]},"contained":`;
    const whole = (rest: string): string => `${before}[${contained.join(', ')}],${rest}}`;

    it('keeps what kept elements refer to, and what that refers to, and no more', () => {
      for (const reference of ['"#coverage"', '"\\u0023cover\\u0061ge"']) {
        const insurance = `"insurance":[{"coverage":{"reference":${reference}}}]`;
        assert.equal(
          cut('id', 'ExplanationOfBenefit', whole(insurance)),
          `${before}[${contained[0]},${contained[1]}],${insurance}}`,
        );
      }
    });

    it('drops all of it when nothing refers to it', () => {
      assert.equal(
        cut('id', 'ExplanationOfBenefit', whole('"facility":{"reference":"#coverage"}')),
        `{"id":"e","meta":{"tag":[${TEXT}]}}`,
      );
    });

    it('keeps all of it when it is asked for, and what refers to it', () => {
      const text = whole('"status":"active","facility":{"reference":"#unused"}');
      const more = text.replace('"status"', '"disposition":"#","formCode":{"text":"#other"},"status"');
      assert.equal(cut('contained', 'ExplanationOfBenefit', more), text);
    });

    it('counts canonicals, and resources that refer to each other', () => {
      const text = `{"id":"p","contained":[{"id":"a","x":"#b"},{"id":"b","x":"#a"},7,{"id":1}],"instantiatesCanonical":["#a"]}`;
      const left = JSON.parse(cut('instantiatesCanonical', 'CarePlan', text));
      assert.deepEqual(left.contained, [
        { id: 'a', x: '#b' },
        { id: 'b', x: '#a' },
      ]);
    });
  });

  const BROKEN = [
    '',
    '7',
    '[]',
    '{',
    '{"id":"p"',
    '{"id":"p",}',
    '{"id"}',
    '{"id":}',
    '{"id":"p"}}',
    '{"id":"p"} {}',
    '{id:"p"}',
    '{"id":"p" "name":1}',
    '{"name":[1}',
    '{"name":"p',
    '\uFEFF{"id":"p"}',
    '{"meta":{"tag":[1,]}}',
    '{"meta":{"tag":[{"a":b}]}}',
  ];
  for (const text of BROKEN)
    it(`says of ${JSON.stringify(text)} that it is not JSON, without quoting it`, () => {
      assert.throws(
        () => cut('id', 'Patient', text),
        (error: { code: string; message: string }) =>
          error.code === 'corrupt' && /not JSON/.test(error.message) && !error.message.includes('"'),
      );
    });

  const REFUSED: [string, RegExp][] = [
    ['Foo.id', /no resource type "Foo"/],
    ['Patient.foo', /no root element "foo" in Patient/],
    ['Patient.value', /no root element "value" in Patient/],
    ['foo', /no root element "foo" in any resource type/],
    ['Observation.valueMoney', /no root element "valueMoney"/],
    ['status[x]', /no root element "status\[x\]"/],
    ['Observation._status', /no root element "_status"/],
    ['Patient.name.family', /"Patient.name.family" is no root element/],
    ['', /"" is no root element/],
    ['id,', /"" is no root element/],
    ['Patient.', /"Patient\." is no root element/],
  ];
  for (const [value, message] of REFUSED) {
    it(`refuses ${value || 'nothing'} by name`, () => {
      assert.throws(() => parseElements([value]), { code: 'bad-request', subject: '_elements', message });
      assert.throws(() => compileElements([value], 'Patient'), { code: 'bad-request' });
    });
  }

  it('of real resources keeps the bytes of what is asked for, and nothing else', () => {
    let kept = 0;
    for (const [type, lines] of sampleLines()) {
      for (const line of lines) {
        const resource = JSON.parse(line);
        const left = cut(['status', 'code'], type, line);
        const { meta, contained, ...others } = JSON.parse(left);
        assert.deepEqual((meta as { tag: unknown[] }).tag.at(-1), TAG);
        for (const [name, value] of Object.entries(others)) {
          assert.deepEqual(value, resource[name]);
          assert.ok(left.includes(JSON.stringify(value)) || !line.includes(JSON.stringify(value)));
        }
        assert.equal(others.status, resource.status);
        assert.deepEqual(others.code, resource.code);
        assert.equal(others.text, undefined);
        assertNothingDangles(left, contained ?? []);
        kept += 1;
      }
    }
    assert.ok(kept > 4_000);
  });
});

/** Each `#id` is of a contained resource, and each contained resource is referred to (R4's dom-3). */
function assertNothingDangles(text: string, contained: readonly { id: string }[]): void {
  const referred = new Set([...text.matchAll(/"#([^"]+)"/g)].map(([, id]) => id));
  assert.deepEqual(referred, new Set(contained.map(({ id }) => id)));
}
