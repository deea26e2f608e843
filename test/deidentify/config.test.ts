import assert from 'node:assert/strict';
import { parseConfig } from '../../src/deidentify/config.ts';
import { Deidentifier } from '../../src/deidentify/deidentifier.ts';
import { fingerprintsOf } from '../../src/deidentify/keys.ts';
import type { Keys } from '../../src/deidentify/keys.ts';

const KEYS: Keys = {
  cryptoHash: Buffer.from('h'),
  dateShift: Buffer.from('d'),
  encrypt: Buffer.alloc(32, 1),
};
const RULE = { path: 'Patient.name', method: 'redact' };

async function load(content: object | string, keys = KEYS): Promise<Deidentifier> {
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  return Deidentifier.of(parseConfig(Buffer.from(text), 'c.json'), keys, { place: 'c.json' });
}

const one = (rule: object): object => ({ fhirVersion: 'R4', fhirPathRules: [rule] });

describe('the configuration of de-identification', () => {
  const refused: [title: string, content: object | string, message: RegExp, keys?: Keys][] = [
    ['a text that is not JSON', '{', /c\.json: it is not JSON/],
    ['another version of FHIR', { ...one(RULE), fhirVersion: 'Stu3' }, /fhirVersion/],
    ['no rules', { fhirVersion: 'R4', fhirPathRules: [] }, /fhirPathRules/],
    ['an unknown method', one({ ...RULE, method: 'blur' }), /fhirPathRules\.0\.method/],
    ['an unknown parameter', { ...one(RULE), parameters: { cryptoKey: 'x' } }, /cryptoKey/],
    ['the scope file', { ...one(RULE), parameters: { dateShiftScope: 'file' } }, /dateShiftScope/],
    ['a path to an unknown type', one({ ...RULE, path: 'Pationt.name' }), /Pationt/],
    ['nodesByType of an unknown type', one({ ...RULE, path: "nodesByType('Nam')" }), /no type "Nam"/],
    ['an unknown function', one({ ...RULE, path: 'Patient.name.trace()' }), /trace\(\) is not supported/],
    ['a path that does not end', one({ ...RULE, path: 'Patient.name.where(use =' }), /is missing/],
    ['a sign that FHIRPath does not have', one({ ...RULE, path: 'Patient.name;' }), /";" is not supported/],
    [
      'a condition that cannot be read',
      one({ path: 'Patient.gender', method: 'generalize', cases: { '$this >': '1' } }),
      /generalize/,
    ],
    ['generalize without cases', one({ path: 'Patient.gender', method: 'generalize' }), /needs cases/],
    ['perturb without span', one({ path: 'Patient.multipleBirth', method: 'perturb' }), /needs span/],
    ['perturb to 29 places', one({ path: 'Patient.x', method: 'perturb', span: 1, roundTo: 29 }), /roundTo/],
    ['substitute without replaceWith', one({ ...RULE, method: 'substitute' }), /needs replaceWith/],
    ['cryptoHash without a key', one({ ...RULE, method: 'cryptoHash' }), /needs the key cryptoHash/, {}],
    ['dateShift without a key', one({ ...RULE, method: 'dateshift' }), /needs the key dateShift/, {}],
    ['encrypt without a key', one({ ...RULE, method: 'encrypt' }), /needs the key encrypt/, {}],
    ['perturb without a key', one({ ...RULE, method: 'perturb', span: 1 }), /needs the key/, {}],
    [
      'a key of 15 bytes for AES',
      one({ ...RULE, method: 'encrypt' }),
      /has 15 bytes/,
      { encrypt: Buffer.alloc(15) },
    ],
  ];
  for (const [title, content, message, keys] of refused) {
    it(`refuses ${title} with one line`, async () => {
      await assert.rejects(load(content, keys), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'bad-config');
        assert.match(error.message, message);
        assert.match(error.message, /^c\.json: [^\n]+$/);
        return true;
      });
    });
  }

  it('takes keys from the file if no others are given', async () => {
    const content = { ...one({ ...RULE, method: 'cryptoHash' }), parameters: { cryptoHashKey: 'k' } };
    assert.ok(await load(content, {}));
  });

  it('tells keys apart by fingerprints that do not show them', () => {
    const [a, b] = ['a', 'b'].map((text) => fingerprintsOf({ cryptoHash: Buffer.from(text) }));
    assert.match(a?.cryptoHash ?? '', /^[0-9a-f]{16}$/);
    assert.notDeepEqual(a, b);
  });
});
