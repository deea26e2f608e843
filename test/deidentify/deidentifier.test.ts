import assert from 'node:assert/strict';
import { createDecipheriv, createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseConfig } from '../../src/deidentify/config.ts';
import { Deidentifier } from '../../src/deidentify/deidentifier.ts';

const SAMPLE = readFileSync(new URL('fixtures/configuration-sample.json', import.meta.url));
const KEYS = {
  cryptoHash: Buffer.from('hash key'),
  dateShift: Buffer.from('shift key'),
  encrypt: Buffer.from('0123456789abcdef'),
};
const AT = Date.parse('2026-01-31T12:00:00Z');

type Json = Record<string, unknown>;

async function deidentify(
  config: Json | Buffer,
  resource: Json | string,
  { scope, patients = [], at = AT }: { scope?: 'patient'; patients?: string[]; at?: number } = {},
): Promise<Json> {
  const bytes = Buffer.isBuffer(config) ? config : Buffer.from(JSON.stringify(config));
  const deidentifier = await Deidentifier.of(parseConfig(bytes, 'c'), KEYS, { place: 'c', scope });
  const json = typeof resource === 'string' ? resource : JSON.stringify(resource);
  return JSON.parse(deidentifier.apply(json, { at, patients })) as Json;
}

const rules = (...fhirPathRules: Json[]): Json => ({ fhirVersion: 'R4', fhirPathRules });
const withParameters = (parameters: Json, ...fhirPathRules: Json[]): Json => ({
  ...rules(...fhirPathRules),
  parameters,
});
const without = ({ meta, ...others }: Json): Json => others;
const codes = ({ meta }: Json): unknown[] =>
  (meta as { security: { code: string }[] }).security.map(({ code }) => code);

const hmac = (text: string): string => createHmac('sha256', 'hash key').update(text, 'utf8').digest('hex');

/** Microsoft's date shift, written from its documentation with whole numbers of any size. */
function documentedDays(prefix: string, key: string): number {
  let hash = 0n;
  for (const byte of new TextEncoder().encode(prefix + key)) hash = (hash * 131n + BigInt(byte)) % 101n;
  return Number(hash) - 50;
}

function plusDays(date: string, days: number): string {
  const moved = new Date(`${date}T00:00:00Z`);
  moved.setUTCDate(moved.getUTCDate() + days);
  return moved.toISOString().slice(0, 10);
}

describe('Deidentifier', () => {
  it("loads Microsoft's sample configuration for R4 as it is", async () => {
    const patient = {
      resourceType: 'Patient',
      id: 'p1',
      name: [{ use: 'official', family: 'Planted', given: ['Anna'] }],
      address: [{ line: ['Main 1'], postalCode: '98052', state: 'WA', country: 'US', city: 'Redmond' }],
      birthDate: '1980-05-17',
      managingOrganization: { reference: 'Organization/o1', display: 'Acme' },
    };
    const result = await deidentify(SAMPLE, patient);
    const days = documentedDays('p1', 'shift key');
    assert.deepEqual(result, {
      resourceType: 'Patient',
      id: hmac('p1'),
      meta: result.meta,
      name: [{ use: 'official' }],
      address: [{ postalCode: '98000', state: 'WA', country: 'US' }],
      birthDate: plusDays('1980-05-17', days),
      managingOrganization: { reference: `Organization/${hmac('o1')}` },
    });
    assert.deepEqual(codes(result), ['REDACTED', 'ABSTRED', 'CRYTOHASH', 'PERTURBED']);
  });

  it('leaves none of many planted identifiers under the sample configuration', async () => {
    const text = (n: number): string => `planted-${n}`;
    const extension = [
      { url: text(1), valueString: text(2), extension: [{ url: text(3), valueUri: text(4) }] },
    ];
    const resource = {
      resourceType: 'Patient',
      id: text(5),
      extension,
      modifierExtension: extension,
      text: { status: 'generated', div: `<div>${text(6)}</div>` },
      contained: [
        {
          resourceType: 'Practitioner',
          id: text(7),
          name: [{ text: text(8), _text: { extension } }],
          telecom: [{ value: text(9) }],
        },
        {
          resourceType: 'Device',
          id: text(10),
          serialNumber: text(11),
          deviceName: [{ name: text(12), type: 'other' }],
        },
      ],
      identifier: [
        { value: text(13), assigner: { reference: `Organization/${text(14)}`, display: text(15) } },
        { value: text(16), type: { text: text(17), coding: [{ code: text(18), display: text(19) }] } },
      ],
      name: [
        {
          text: text(20),
          family: text(21),
          given: [text(22), text(23)],
          prefix: [text(24)],
          suffix: [text(25)],
        },
      ],
      telecom: [{ system: 'phone', value: text(26) }],
      _gender: { extension },
      birthDate: '1920-01-01',
      _birthDate: { extension },
      address: [
        {
          text: text(27),
          line: [text(28), text(29)],
          city: text(30),
          district: text(31),
          postalCode: '10234',
        },
      ],
      maritalStatus: { text: text(32) },
      photo: [{ url: text(33), title: text(34), data: 'cGxhbnRlZA==' }],
      contact: [
        {
          name: { family: text(35) },
          telecom: [{ value: text(36) }],
          address: { city: text(37) },
          organization: { display: text(38) },
        },
      ],
      generalPractitioner: [
        { reference: `#${text(7)}` },
        { reference: `Practitioner/${text(39)}`, identifier: { value: text(40) } },
      ],
      link: [
        {
          other: { reference: `http://example.org/Patient/${text(41)}`, display: text(42) },
          type: 'seealso',
        },
      ],
      meta: { extension, tag: [{ code: text(43), display: text(44) }] },
      unknownElement: text(45),
      _unknown: { value: text(46) },
      communication: [
        { language: { text: text(47), coding: [{ display: text(48) }], extension }, unknown: [text(49)] },
      ],
      fhir_comments: [text(50)],
    };
    const result = JSON.stringify(await deidentify(SAMPLE, resource));
    assert.ok(!/planted|cGxhbnRl|1920|10234/.test(result), result);
  });

  it('hashes only the id of a reference', async () => {
    const id = 'urn:uuid:11111111-2222-4333-8444-555555555555';
    const references = [
      'Patient/a',
      'http://x.org/fhir/Patient/a',
      'Patient/a/_history/2',
      '#a',
      id,
      'other a',
    ];
    const basic = { resourceType: 'List', entry: references.map((reference) => ({ item: { reference } })) };
    const config = rules({ path: "nodesByType('Reference').reference", method: 'cryptoHash' });
    const { entry } = (await deidentify(config, basic)) as { entry: { item: { reference: string } }[] };
    assert.deepEqual(
      entry.map(({ item }) => item.reference),
      [
        `Patient/${hmac('a')}`,
        `http://x.org/fhir/Patient/${hmac('a')}`,
        `Patient/${hmac('a')}/_history/2`,
        `#${hmac('a')}`,
        `urn:uuid:${hmac(id.slice(9))}`,
        hmac('other a'),
      ],
    );
  });

  it('lets the first rule that touches an element win, with all that is in it', async () => {
    const config = rules(
      { path: "nodesByType('HumanName').use", method: 'keep' },
      { path: 'Patient.name', method: 'redact' },
      { path: 'Patient.name.family', method: 'cryptoHash' },
    );
    const result = await deidentify(config, {
      resourceType: 'Patient',
      name: [{ use: 'usual', family: 'F' }],
    });
    assert.deepEqual(without(result), { resourceType: 'Patient', name: [{ use: 'usual' }] });
  });

  it('shifts dates by a fixed offset, with zeros for the time of day and the zone kept', async () => {
    const config = withParameters(
      { dateShiftFixedOffsetInDays: 3 },
      { path: "nodesByType('dateTime')", method: 'dateshift' },
    );
    const dates = [
      '2020-02-27T23:59:59.123+10:00',
      '2020-02-27',
      '2020-02',
      '1930-01-01',
      '2020-02-27T10:00:00Z',
    ];
    const shifted = [];
    for (const onsetDateTime of dates)
      shifted.push((await deidentify(config, { resourceType: 'Condition', onsetDateTime })).onsetDateTime);
    assert.deepEqual(shifted, [
      '2020-03-01T00:00:00.000+10:00',
      '2020-03-01',
      undefined,
      undefined,
      '2020-03-01T00:00:00Z',
    ]);
  });

  it('counts ages at the time that the caller gives', async () => {
    const config = withParameters(
      { enablePartialDatesForRedact: true },
      { path: 'Patient.birthDate', method: 'redact' },
    );
    const patient = { resourceType: 'Patient', birthDate: '1936-01-31' };
    const before = await deidentify(config, patient, { at: Date.parse('2026-01-30T23:59:59Z') });
    const after = await deidentify(config, patient, { at: Date.parse('2026-01-31T00:00:00Z') });
    assert.deepEqual([before.birthDate, after.birthDate], ['1936', undefined]);
  });

  it('keeps parts of ages and postal codes if the configuration says so', async () => {
    const parameters = {
      enablePartialAgesForRedact: true,
      enablePartialZipCodesForRedact: true,
      restrictedZipCodeTabulationAreas: ['203'],
    };
    const config = withParameters(
      parameters,
      { path: 'Condition.onset', method: 'redact' },
      { path: 'Patient.address.postalCode', method: 'redact' },
    );
    const ageOf = async (value: number): Promise<unknown> =>
      without(await deidentify(config, { resourceType: 'Condition', onsetAge: { value } }));
    assert.deepEqual(await ageOf(89), { resourceType: 'Condition', onsetAge: { value: 89 } });
    assert.deepEqual(await ageOf(90), { resourceType: 'Condition' });
    const address = ['98052-1234', '20301'].map((postalCode) => ({ postalCode }));
    assert.deepEqual(without(await deidentify(config, { resourceType: 'Patient', address })), {
      resourceType: 'Patient',
      address: [{ postalCode: '98000-0000' }, { postalCode: '00000' }],
    });
  });

  it('encrypts to the same bytes each time, and the key decrypts them', async () => {
    const config = rules({ path: 'Patient.name.given', method: 'encrypt' });
    const patient = { resourceType: 'Patient', id: 'p', name: [{ given: ['Anna', 'Anna'] }] };
    const results = [await deidentify(config, patient), await deidentify(config, patient)];
    assert.deepEqual(results[0], results[1]);
    const [{ given }] = results[0]?.name as [{ given: [string, string] }];
    const bytes = Buffer.from(given[0], 'base64');
    const decipher = createDecipheriv('aes-128-cbc', KEYS.encrypt, bytes.subarray(0, 16));
    assert.equal(decipher.update(bytes.subarray(16), undefined, 'utf8') + decipher.final('utf8'), 'Anna');
    assert.notEqual(given[0], given[1]);
    assert.deepEqual(codes(results[0] ?? {}), ['MASKED']);
  });

  it('perturbs within the span, and the same each time', async () => {
    const rule = { path: '(Observation.value as Quantity).value', method: 'perturb', roundTo: 3 };
    const valueOf = async (config: Json, value: number): Promise<number> => {
      const observation = {
        resourceType: 'Observation',
        id: String(value),
        valueQuantity: { value, unit: 'kg' },
      };
      const result = (await deidentify(config, observation)) as {
        valueQuantity: { value: number; unit: string };
      };
      assert.equal(result.valueQuantity.unit, 'kg');
      return result.valueQuantity.value;
    };
    const fixed = rules({ ...rule, span: 6 });
    const proportional = rules({ ...rule, span: 0.2, rangeType: 'proportional' });
    const noises = new Set<number>();
    for (let value = 10; value < 60; value++) {
      const noisy = await valueOf(fixed, value);
      noises.add(Math.sign(noisy - value));
      assert.ok(Math.abs(noisy - value) <= 3);
      assert.equal(noisy, await valueOf(fixed, value));
      assert.ok(Math.abs((await valueOf(proportional, value)) - value) <= value * 0.1 + 0.001);
    }
    assert.deepEqual([...noises].sort(), [-1, 1]);
  });

  it('gives an attacker who repeats an export a thousand times one value only', async () => {
    const config = rules({ path: 'Observation.value', method: 'perturb', span: 10, roundTo: 6 });
    const bytes = Buffer.from(JSON.stringify(config));
    const deidentifier = await Deidentifier.of(parseConfig(bytes, 'c'), KEYS, { place: 'c' });
    const text = JSON.stringify({ resourceType: 'Observation', id: 'o', valueQuantity: { value: 70 } });
    const results = new Set<string>();
    for (let i = 0; i < 1_000; i++) results.add(deidentifier.apply(text, { at: AT + i, patients: [] }));
    assert.equal(results.size, 1);
    assert.ok(![...results][0]?.includes('"value":70}'));
  });

  it('hashes with a key, so that a dictionary of ids finds none without it', async () => {
    const dictionary = Array.from({ length: 1_000 }, (_, i) => String(i));
    const config = rules({ path: 'Resource.id', method: 'cryptoHash' });
    const { id } = await deidentify(config, { resourceType: 'Patient', id: '17' });
    const unkeyed = dictionary.map((one) => createHash('sha256').update(one).digest('hex'));
    const otherKey = dictionary.map((one) => createHmac('sha256', 'other').update(one).digest('hex'));
    assert.ok(![...unkeyed, ...otherKey].includes(String(id)));
  });

  it('substitutes texts and whole elements', async () => {
    const replaceWith = { city: 'example city', period: { start: '2000-01-01' } };
    const config = rules(
      { path: 'Patient.birthDate', method: 'substitute', replaceWith: '1990-01-01' },
      { path: "nodesByType('Address')", method: 'substitute', replaceWith },
      { path: "nodesByName('gender')", method: 'substitute', replaceWith: 'unknown' },
    );
    const address = [{ city: 'A' }, { city: 'B', line: ['C'] }];
    const patient = {
      resourceType: 'Patient',
      gender: 'male',
      birthDate: '1951-02-03',
      _birthDate: { id: 'x' },
      address,
    };
    const result = await deidentify(config, patient);
    assert.deepEqual(without(result), {
      resourceType: 'Patient',
      gender: 'unknown',
      birthDate: '1990-01-01',
      address: [replaceWith, replaceWith],
    });
    assert.deepEqual(codes(result), ['SUBSTITUTED']);
  });

  const generalizations: [path: string, cases: Json, resource: Json, expected: Json][] = [
    [
      'Observation.value.ofType(Quantity).value',
      { '$this>=0 and $this<20': '20', '$this>=20 and $this<40': '40' },
      { resourceType: 'Observation', valueQuantity: { value: 27.5 } },
      { valueQuantity: { value: 40 } },
    ],
    [
      'Patient.communication.language.coding.code',
      { "$this in ('es-AR' | 'es-ES' | 'es-UY')": "'es'" },
      {
        resourceType: 'Patient',
        communication: [{ language: { coding: [{ code: 'es-UY' }, { code: 'fr' }] } }],
      },
      { communication: [{ language: { coding: [{ code: 'es' }] } }] },
    ],
    [
      'Patient.address.postalCode',
      { "$this.startsWith('123') or $this.startsWith('234')": "$this.substring(0,2)+'****'" },
      { resourceType: 'Patient', address: [{ postalCode: '12345' }] },
      { address: [{ postalCode: '12****' }] },
    ],
    [
      'Patient.birthDate',
      { '$this >= @1990-01-01 and $this <= @2000-01-01': '@1990', '$this >= @2010-01-01': '@2010-01-01' },
      { resourceType: 'Patient', birthDate: '1995-06-07' },
      { birthDate: '1990' },
    ],
    [
      'Patient.multipleBirth',
      { true: '($this div 10)*10' },
      { resourceType: 'Patient', multipleBirthInteger: 18 },
      { multipleBirthInteger: 10 },
    ],
  ];
  for (const [path, cases, resource, expected] of generalizations) {
    it(`generalizes ${path} by the first case that holds, and redacts other values`, async () => {
      const result = await deidentify(rules({ path, method: 'generalize', cases }), resource);
      assert.deepEqual(without(result), { resourceType: resource.resourceType, ...expected });
    });
  }

  it('keeps all intervals between the resources of a patient, under the scope patient', async () => {
    const config = rules({ path: "nodesByType('dateTime')", method: 'dateShift' });
    const daysOf = async (patient: string, id: string): Promise<number> => {
      const observation = { resourceType: 'Observation', id, effectiveDateTime: '2020-06-15' };
      const result = await deidentify(config, observation, { scope: 'patient', patients: [patient] });
      return (Date.parse(result.effectiveDateTime as string) - Date.parse('2020-06-15')) / 86_400_000;
    };
    const own = await Promise.all(['a', 'b', 'c', 'd'].map((id) => daysOf('p1', id)));
    assert.equal(new Set(own).size, 1);
    assert.notEqual(own[0], await daysOf('p2', 'a'));
    assert.ok(own.every((days) => Number.isInteger(days) && Math.abs(days) <= 50));
  });

  it('handles contained resources as resources of their own, without labels', async () => {
    const contained = [{ resourceType: 'Patient', id: 'c', birthDate: '2000-01-01' }];
    const config = rules(
      { path: 'Patient.birthDate', method: 'redact' },
      { path: 'Resource.id', method: 'cryptoHash' },
    );
    const result = await deidentify(config, { resourceType: 'Observation', id: 'o', contained });
    assert.deepEqual(result.contained, [{ resourceType: 'Patient', id: hmac('c') }]);
    assert.deepEqual(codes(result), ['REDACTED', 'CRYTOHASH']);
  });

  it('keeps the text of numbers that no rule touches', async () => {
    const config = Buffer.from(JSON.stringify(rules({ path: 'Observation.note', method: 'redact' })));
    const deidentifier = await Deidentifier.of(parseConfig(config, 'c'), KEYS, { place: 'c' });
    const text = '{"resourceType":"Observation","valueQuantity":{"value":1.10},"note":[{"text":"x"}]}';
    assert.match(deidentifier.apply(text, { at: AT, patients: [] }), /"value":1\.10/);
  });

  it('keeps the places of a list whose values have extensions of their own', async () => {
    const config = rules({ path: "Patient.name.given.where($this = 'x')", method: 'keep' });
    await assert.rejects(deidentify(config, { resourceType: 'Patient' }), { code: 'bad-config' });
    const name = [
      { given: ['A', null, 'B'], _given: [null, { extension: [{ url: 'u', valueCode: 'unknown' }] }, null] },
    ];
    const keep = rules({ path: 'Patient', method: 'keep' });
    assert.deepEqual(await deidentify(keep, { resourceType: 'Patient', name }), {
      resourceType: 'Patient',
      name,
    });
  });

  it('fails for what is not a resource, or makes it an empty one if the configuration skips errors', async () => {
    const config = rules({ path: 'Patient.name', method: 'redact' });
    await assert.rejects(deidentify(config, '{"resourceType":"Nothing"}'), { code: 'corrupt' });
    await assert.rejects(deidentify(config, 'secret'), {
      code: 'corrupt',
      message: 'it cannot be de-identified',
    });
    const deep = `{"resourceType":"Patient","extension":${'[{"url":"u","extension":'.repeat(120)}[]${'}]'.repeat(120)}}`;
    const result = await deidentify({ ...config, processingErrors: 'skip' }, deep);
    assert.deepEqual(without(result), { resourceType: 'Patient' });
    assert.deepEqual(codes(result), ['REDACTED']);
  });
});
