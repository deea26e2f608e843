import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { compileRedactions } from '../../src/fhir/redact.ts';
import { redactionProblems } from '../../src/fhir/redaction.ts';
import type { Redaction } from '../../src/fhir/redaction.ts';

const SECRET = Buffer.from('0123456789abcdef0123456789abcdef');
const KEY = { name: 'research', fingerprint: '', secret: SECRET };
const MASKED =
  '{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"masked"}]}';
const hmac = (text: string): string => createHmac('sha256', SECRET).update(text).digest('hex');
const remove = (...paths: readonly string[]): Redaction[] => paths.map((path) => ({ path, do: 'remove' }));

function redacted(type: string, text: string, redactions: readonly Redaction[]): string {
  const redact = compileRedactions(type, { own: redactions, of: () => redactions, marked: false });
  const bytes = Buffer.from(text);
  return redact(bytes, 0, bytes.length).toString();
}

describe('redaction of nested elements', () => {
  it('removes parts of elements, of each item of a list, and keeps every other byte', () => {
    assert.equal(
      redacted(
        'Patient',
        '{"id":"a","contact":[ {"name":{"family":"Ann"}, "gender" : "female"},{"name":{"family":"Ann"},"period":{ "start":"2020" }}],"x":1.50}',
        remove('contact.name'),
      ),
      '{"id":"a","contact":[{ "gender" : "female"},{"period":{ "start":"2020" }}],"x":1.50}'.replace(
        '{ "g',
        '{ "g',
      ),
    );
    assert.equal(
      redacted(
        'Observation',
        '{"component":[{"code":{"text":"Ann","coding":[{"code":"c"}]}}]}',
        remove('component.code.text'),
      ),
      '{"component":[{"code":{"coding":[{"code":"c"}]}}]}',
    );
  });

  it('leaves out an element without any part left, and masks a mandatory one', () => {
    assert.equal(
      redacted('Patient', '{"id":"a","name":[{"text":"Ann"}]}', remove('name.text')),
      '{"id":"a"}',
    );
    assert.equal(
      redacted('Observation', '{"id":"a","code":{"text":"Ann"}}', remove('code.text')),
      `{"id":"a","code":${MASKED}}`,
    );
  });

  it('trusts no value of another form, no sibling of an object and no escaped name', () => {
    for (const name of ['"Ann"', '["Ann"]', '[["Ann"]]', '1', '[{"t\\u0065xt":"Ann"}]', '{"text":"Ann"}'])
      assert.equal(
        redacted('Patient', `{"id":"a","n\\u0061me":${name},"_name":["Ann"]}`, remove('name.text')),
        '{"id":"a"}',
      );
    assert.equal(
      redacted(
        'Patient',
        '{"name":[{"family":"Bob","_text":{"id":"Ann"}}],"name":[{"text":"Ann"}]}',
        remove('name.text'),
      ),
      '{"name":[{"family":"Bob"}]}',
    );
  });

  it('follows every type of a choice', () => {
    assert.equal(
      redacted(
        'Observation',
        '{"valueCodeableConcept":{"text":"Ann","coding":[]},"valueQuantity":{"value":1}}',
        remove('value[x].text'),
      ),
      '{"valueCodeableConcept":{"coding":[]},"valueQuantity":{"value":1}}',
    );
  });

  it('follows elements that have themselves as parts, at any depth', () => {
    const item = (more: string): string => `{"linkId":"1","answer":[{"valueString":"Ann"${more}}]}`;
    const text = `{"id":"q","item":[${item(`,"item":[${item(`,"item":[${item('')}]`)}]`)}]}`;
    const made = redacted('QuestionnaireResponse', text, remove('item.answer.value'));
    assert.doesNotMatch(made, /Ann/);
    assert.equal(made.match(/linkId/g)?.length, 3);
    assert.equal(made, redacted('QuestionnaireResponse', text, remove('item.answer.item.answer.value')));
  });

  it('keeps the named parts only', () => {
    assert.equal(
      redacted(
        'Patient',
        '{"address":[{"use":"home","line":["Ann"],"state":"X","_country":{"id":"1"},"country":"Y"}]}',
        [{ path: 'address', do: 'remove', keep: ['state', 'country'] }],
      ),
      '{"address":[{"state":"X","_country":{"id":"1"},"country":"Y"}]}'.replace('[{"', '[{"'),
    );
  });

  it('removes extensions of elements and of primitives by their url', () => {
    const time = '{"extension":[{"url":"http://x/time","valueDateTime":"Ann"}]}';
    assert.equal(
      redacted(
        'Patient',
        `{"birthDate":"1970","_birthDate":${time},"name":[{"family":"F","_family":${time}}]}`,
        [...remove('birthDate.extension(http://x/time)', 'name.family.extension(http://x/time)')],
      ),
      '{"birthDate":"1970","name":[{"family":"F"}]}',
    );
  });

  it('masks primitives in their sibling, once, wherever they are', () => {
    const mask: Redaction[] = [
      { path: 'status', do: 'mask' },
      { path: 'code', do: 'mask' },
    ];
    for (const [text, expected] of [
      [
        '{"status":"final","id":"o","code":{"text":"Ann"}}',
        `{"_status":${MASKED},"id":"o","code":${MASKED}}`,
      ],
      ['{"id":"o","_status":{"id":"Ann"} , "status":"Ann"}', `{"id":"o","_status":${MASKED}}`],
      ['{"id":"o","status":"Ann","status":"Ann"}', `{"id":"o","_status":${MASKED}}`],
      ['{"id":"o"}', '{"id":"o"}'],
    ] as const)
      assert.equal(redacted('Observation', text, mask), expected);
    assert.equal(
      redacted('Patient', '{"name":[{"given":["Ann","Bea"]}]}', [{ path: 'name.given', do: 'mask' }]),
      `{"name":[{"_given":[${MASKED}]}]}`,
    );
  });

  it('masks a mandatory date that has no year', () => {
    const year: Redaction[] = [
      { path: 'recordedDate', do: 'year' },
      { path: 'occurrence', do: 'year' },
    ];
    assert.equal(
      redacted('Immunization', '{"id":"i","occurrenceString":"soon","_occurrenceString":{"id":"x"}}', year),
      `{"id":"i","_occurrenceString":${MASKED}}`,
    );
    assert.equal(
      redacted('Immunization', '{"id":"i","occurrenceDateTime":"2020-01-02"}', year),
      '{"id":"i","occurrenceDateTime":"2020"}',
    );
  });

  it('hashes texts, the value of an Identifier and the id of a Reference by HMAC-SHA256', () => {
    const hash = (path: string): Redaction => ({ path, do: 'hash', key: KEY });
    assert.equal(
      redacted(
        'Patient',
        '{"identifier":[{"system":"s","value":"1\\u0032","_value":{}}],"name":[{"given":["Ann","Béa"]}]}',
        [hash('identifier'), hash('name.given')],
      ),
      `{"identifier":[{"system":"s","value":"${hmac('12')}"}],"name":[{"given":["${hmac('Ann')}","${hmac('Béa')}"]}]}`,
    );
    const reference = (text: string): string =>
      redacted(
        'Observation',
        `{"subject":{"reference":"${text}","display":"Ann","identifier":{"system":"s","value":"1"}}}`,
        [hash('subject')],
      );
    const rest = `","identifier":{"system":"s","value":"${hmac('1')}"}}}`;
    assert.equal(reference('Patient/1'), `{"subject":{"reference":"Patient/${hmac('1')}${rest}`);
    assert.equal(
      reference('Patient/1/_history/2'),
      `{"subject":{"reference":"Patient/${hmac('1')}/_history/2${rest}`,
    );
    assert.equal(
      reference('http://x/Patient/1'),
      `{"subject":{"reference":"http://x/Patient/${hmac('1')}${rest}`,
    );
    assert.equal(reference('urn:uuid:1'), `{"subject":{"reference":"urn:uuid:${hmac('1')}${rest}`);
    assert.equal(reference('#p'), `{"subject":{"reference":"#p${rest}`);
  });

  it('invents names and contact points, the same ones for the same resource and key', () => {
    const random: Redaction[] = ['name', 'telecom'].map((path) => ({ path, do: 'random', key: KEY }));
    const text =
      '{"id":"a","name":[{"family":"Ann"},{"text":"Ann"}],"telecom":[{"system":"email","value":"Ann"}]}';
    const made = redacted('Patient', text, random);
    assert.doesNotMatch(made, /"Ann"/);
    assert.equal(made, redacted('Patient', text, random));
    assert.notEqual(made, redacted('Patient', text.replace('"a"', '"b"'), random));
    assert.match(made, /"telecom":\[\{"system":"email","value":"\w+@example\.org"\}\]/);
  });

  it('lets the strongest redaction of an element count, in any order', () => {
    const all: Redaction[] = [
      { path: 'name.text', do: 'hash', key: KEY },
      { path: 'birthDate', do: 'year' },
      { path: 'birthDate', do: 'remove' },
      { path: 'address', do: 'remove', keep: ['state', 'city'] },
      { path: 'address', do: 'remove', keep: ['state'] },
      { path: 'name', do: 'remove' },
    ];
    const text = '{"id":"a","birthDate":"1970","name":[{"text":"Ann"}],"address":[{"city":"C","state":"S"}]}';
    for (const some of [all, all.toReversed()])
      assert.equal(
        redacted('Patient', text, some),
        '{"id":"a","address":[{"state":"S"}]}'.replace('[{"', '[{"'),
      );
  });

  it('removes the narrative of sections, and redacts the resources of a Bundle', () => {
    assert.equal(
      redacted(
        'Composition',
        '{"section":[{"title":"t","text":{"div":"Ann"},"section":[{"text":{"div":"Ann"},"title":"u"}]}]}',
        remove('event'),
      ),
      '{"section":[{"title":"t","section":[{"title":"u"}]}]}',
    );
    assert.equal(
      redacted(
        'Bundle',
        '{"entry":[{"fullUrl":"u","resource":{"resourceType":"Patient","name":[{"text":"Ann"}],"id":"p"}}]}',
        remove('name'),
      ),
      '{"entry":[{"fullUrl":"u","resource":{"resourceType":"Patient","id":"p"}}]}',
    );
  });

  it('leaves the bytes of kept values, of any resource', () => {
    const number = fc.constantFrom(
      '1.50',
      '1e2',
      '12345678901234567890',
      '-0.0',
      '"\\u0041\\/"',
      '[ 1 ,2]',
      'null',
    );
    const part = fc.tuple(fc.constantFrom('use', 'family', 'text', '_text', 'extra'), number);
    const name = fc.uniqueArray(part, { minLength: 1, maxLength: 4, selector: ([key]) => key });
    fc.assert(
      fc.property(
        fc.array(name, { minLength: 1, maxLength: 3 }),
        fc.constantFrom('', ' ', '\n\t'),
        (names, space) => {
          const objectOf = (parts: readonly (readonly [string, string])[]): string =>
            `{${parts.map(([key, value]) => `${space}"${key}"${space}:${space}${value}${space}`).join(',')}}`;
          const text = `{"id":"a","name":[${names.map(objectOf).join(',')}],"x":1.50}`;
          const kept = names
            .map((parts) => parts.filter(([key]) => !key.endsWith('text')))
            .filter((parts) => parts.length > 0);
          const expected = kept.length === 0 ? '' : `"name":[${kept.map(objectOf).join(',')}],`;
          assert.equal(redacted('Patient', text, remove('name.text')), `{"id":"a",${expected}"x":1.50}`);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('refuses what would make a resource invalid, or has no such form', () => {
    const of = (redaction: Redaction, type = 'Patient') => redactionProblems([redaction], [type]).join();
    for (const [redaction, says, type] of [
      [{ path: 'contact.nmae', do: 'remove' }, /element of none/],
      [{ path: 'link.other', do: 'remove' }, /Patient\.link\.other is mandatory/],
      [{ path: 'gender', do: 'mask' }, /is a code/],
      [{ path: 'link', do: 'mask' }, /its part other is mandatory/],
      [{ path: 'name', do: 'year' }, /is no date/],
      [{ path: 'issued', do: 'year' }, /instant/, 'Observation'],
      [{ path: 'gender', do: 'hash', key: KEY }, /cannot be hashed/],
      [{ path: 'identifier', do: 'hash' }, /needs a key/],
      [{ path: 'identifier', do: 'remove', key: KEY }, /uses no key/],
      [{ path: 'address', do: 'random', key: KEY }, /HumanName and ContactPoint/],
      [{ path: 'address', do: 'remove', keep: ['stat'] }, /no part stat/],
      [{ path: 'link', do: 'remove', keep: ['type'] }, /mandatory part other/],
      [{ path: 'birthDate', do: 'remove', keep: ['id'] }, /no parts/],
      [{ path: 'address', do: 'mask', keep: ['state'] }, /keep names what remove leaves/],
      [{ path: 'meta.tag', do: 'remove' }, /cannot be redacted/],
      [{ path: 'contained.name', do: 'remove' }, /cannot be redacted/],
      [{ path: 'extension.value', do: 'remove' }, /element of none/],
      [{ path: 'name.', do: 'remove' }, /write elements with dots/],
    ] as const)
      assert.match(of(redaction, type), says);
    for (const redaction of [
      { path: 'contact.name', do: 'mask' },
      { path: 'link.other', do: 'mask' },
      { path: 'contact.address', do: 'remove', keep: ['state'] },
      { path: 'birthDate.extension(http://x)', do: 'remove' },
      { path: 'contact.name', do: 'random', key: KEY },
    ] as const)
      assert.equal(of(redaction), '');
  });
});
