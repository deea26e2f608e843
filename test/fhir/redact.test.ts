import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compileRedactions } from '../../src/fhir/redact.ts';
import { redactionProblems } from '../../src/fhir/redaction.ts';
import type { Redaction } from '../../src/fhir/redaction.ts';

const LABEL = '{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"REDACTED"}';
const remove = (...paths: readonly string[]): Redaction[] => paths.map((path) => ({ path, do: 'remove' }));

function redacted(
  text: string,
  redactions: readonly Redaction[],
  options: {
    readonly type?: string;
    readonly of?: Readonly<Record<string, readonly Redaction[]>>;
    readonly marked?: boolean;
  } = {},
): string {
  const { type = 'Patient', of = {}, marked = true } = options;
  const redact = compileRedactions(type, { own: redactions, of: (one) => of[one], marked });
  const bytes = Buffer.from(` ${text} `);
  return redact(bytes, 1, bytes.length - 1).toString();
}

describe('redaction', () => {
  it('removes root elements with their siblings, and the narrative, and keeps every other byte', () => {
    const text =
      '{"resourceType":"Patient", "id" : "a","meta":{"versionId":"1"},"text":{"div":"Ann"},"name":[{"family":"Ann"}],' +
      '"_birthDate":{"id":"x"} , "birthDate":"1970-01-02","multipleBirthInteger":1.50 ,"x":1e2,"big":12345678901234567890}';
    assert.equal(
      redacted(text, remove('name', 'birthDate')),
      `{"resourceType":"Patient", "id" : "a","meta":{"versionId":"1","security":[${LABEL}]},"multipleBirthInteger":1.50 ,"x":1e2,"big":12345678901234567890}`,
    );
  });

  it('finds names with escapes, twice, and of every type of a choice', () => {
    const text =
      '{"resourceType":"Observation","id":"a","value\\u0051uantity":{"value":1},"valueString":"Ann","_valueString":{},"note":[],"n\\u006fte":["Ann"],"status":"final"}';
    assert.equal(
      redacted(text, remove('value', 'note'), { type: 'Observation', marked: false }),
      '{"resourceType":"Observation","id":"a","status":"final"}',
    );
  });

  it('keeps the year of dates, and drops what has none', () => {
    const years: Redaction[] = [
      { path: 'birthDate', do: 'year' },
      { path: 'deceased', do: 'year' },
    ];
    const of = (text: string): string => redacted(text, years, { marked: false });
    assert.equal(
      of('{"birthDate":"1970-01-02","_birthDate":{},"deceasedDateTime":"2020-01-01T00:00:00Z"}'),
      '{"birthDate":"1970","deceasedDateTime":"2020"}',
    );
    assert.equal(of('{"birthDate":"soon","deceasedBoolean":true}'), '{"deceasedBoolean":true}');
  });

  it('leaves out a value that is no date where only the year may stay', () => {
    const of = (type: string, path: string, text: string): string =>
      redacted(text, [{ path, do: 'year' }], { type, marked: false });
    assert.equal(
      of('Observation', 'effective', '{"id":"o","effectivePeriod":{"start":"1970-01-02"}}'),
      '{"id":"o"}',
    );
    assert.equal(
      of('Observation', 'effective', '{"id":"o","effectiveTiming":{"event":["1970-01-02"]}}'),
      '{"id":"o"}',
    );
    assert.equal(of('Patient', 'birthDate', '{"id":"a","birthDate":["1970-01-02"]}'), '{"id":"a"}');
    assert.equal(of('Patient', 'name', '{"id":"a","name":[{"family":"Ann"}]}'), '{"id":"a"}');
  });

  it('removes extensions by their url, and the list with the last one', () => {
    const [race, other] = [
      '{"url":"http://x/race","valueString":"a"}',
      '{"url":"http://x/other","valueString":"b"}',
    ];
    const of = (list: string): string =>
      redacted(`{"id":"a","extension":${list}}`, remove('extension(http://x/race)'), { marked: false });
    assert.equal(of(`[${race}, ${other}]`), `{"id":"a","extension":[${other}]}`);
    assert.equal(of(`[${race}]`), '{"id":"a"}');
    assert.equal(of('[{"u\\u0072l":"http://x/r\\u0061ce"}]'), '{"id":"a"}');
    assert.equal(of('[{"url":"http://x/other","url":"http://x/race"}]'), '{"id":"a"}');
    assert.equal(of('{"url":"http://x/race"}'), '{"id":"a"}', 'what is no list is not trusted');
  });

  it('removes the display of every Reference, at any depth, and of no Coding', () => {
    const text =
      '{"subject":{"reference":"Patient/a","display":"Ann"},"code":{"coding":[{"system":"s","code":"c","display":"C"}]},' +
      '"performer":[{"actor":{"display":"Bob"}}, {"actor":{"type":"Patient","identifier":{"value":"1"},"_display":{}}}]}';
    assert.equal(
      redacted(text, remove('**.Reference.display'), { type: 'Observation', marked: false }),
      '{"subject":{"reference":"Patient/a"},"code":{"coding":[{"system":"s","code":"c","display":"C"}]},' +
        '"performer":[{"actor":{}}, {"actor":{"type":"Patient","identifier":{"value":"1"}}}]}',
    );
  });

  it('removes the display of every Reference from any tree', () => {
    const name = fc.constantFrom('display', '_display', 'reference', 'id', 'system', 'x');
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'medium', withCrossShrink: true },
        fc.constantFrom<unknown>(1, null, 'a"\\]}{[,:'),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(name, tie('tree'), { maxKeys: 4, noNullPrototype: true }),
      ),
    }));
    const isReference = (keys: string[]): boolean => !keys.includes('system') && !keys.includes('x');
    const without = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(without);
      if (typeof value !== 'object' || value === null) return value;
      const kept = Object.entries(value).filter(
        ([key]) => !isReference(Object.keys(value)) || !/^_?display$/.test(key),
      );
      return Object.fromEntries(kept.map(([key, inner]) => [key, without(inner)]));
    };
    fc.assert(
      fc.property(tree, (value) => {
        const text = JSON.stringify({ a: value });
        const options = { type: 'Observation', marked: false };
        assert.equal(
          redacted(text, remove('**.Reference.display'), options),
          JSON.stringify({ a: without(value) }),
        );
      }),
      { numRuns: 1000 },
    );
  });

  it('removes the display of a Reference in meta, with the label and without', () => {
    const meta = (more = ''): string =>
      `{"id":"a","meta":{"extension":[{"url":"u","valueReference":{"reference":"Patient/b"}}]${more}}}`;
    const text = meta().replace('"Patient/b"', '"Patient/b","display":"Ann"');
    const displays = remove('**.Reference.display');
    assert.equal(redacted(text, displays, { marked: false }), meta());
    assert.equal(redacted(text, displays), meta(`,"security":[${LABEL}]`));
  });

  it('redacts contained resources as their own type, and leaves out those of types without rules', () => {
    const text =
      '{"resourceType":"Observation","id":"o","contained":[{"resourceType":"Patient","id":"p","name":[{"family":"Ann"}],"text":{"div":"Ann"}},' +
      '{"resourceType":"Practitioner","name":[{"family":"Ann"}]},{"resourceType":"Patient","resourceType":"Device","x":"Ann"},"Ann",{"x":"Ann"}]}';
    assert.equal(
      redacted(text, [], {
        type: 'Observation',
        of: { Patient: remove('name'), Observation: [] },
        marked: false,
      }),
      '{"resourceType":"Observation","id":"o","contained":[{"resourceType":"Patient","id":"p"}]}',
    );
  });

  it('labels every resource of the type once, whether something was removed or not', () => {
    for (const [meta, expected] of [
      ['', `"id":"a","meta":{"security":[${LABEL}]}`],
      ['"meta":{},', `"meta":{"security":[${LABEL}]},"id":"a"`],
      ['"meta":{"security":[]},', `"meta":{"security":[${LABEL}]},"id":"a"`],
      ['"meta":{"security":[{"code":"R"}]},', `"meta":{"security":[{"code":"R"},${LABEL}]},"id":"a"`],
      [`"meta":{"security":[${LABEL}]},`, `"meta":{"security":[${LABEL}]},"id":"a"`],
    ])
      assert.equal(redacted(`{${meta}"id":"a"}`, remove('name')), `{${expected}}`);
    assert.equal(redacted('{}', remove('name')), `{"meta":{"security":[${LABEL}]}}`);
  });

  it('gives up on what is nested too deep for it', () => {
    const deep = `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`;
    assert.throws(() => redacted(`{"a":${deep}}`, remove('**.Reference.display')), { code: 'corrupt' });
    const whole = `{"a":${deep}}`;
    assert.equal(redacted(whole, remove('name'), { marked: false }), whole, 'it need not look inside');
  });

  it('leaves what JSON.parse leaves, of any resource', () => {
    const names = fc.constantFrom('id', 'name', '_name', 'photo', 'text', 'gender', 'extra', 'birthDate');
    const resource = fc.dictionary(names, fc.jsonValue({ maxDepth: 3 }), { noNullPrototype: true });
    fc.assert(
      fc.property(resource, fc.constantFrom(undefined, 1, '\t'), (one, space) => {
        const text = JSON.stringify(one, null, space);
        const left = Object.entries(one).filter(
          ([name]) => !['name', '_name', 'photo', 'text'].includes(name),
        );
        const made = redacted(text, remove('name', 'photo'), { marked: false });
        assert.deepEqual(JSON.parse(made), JSON.parse(JSON.stringify(Object.fromEntries(left))));
      }),
      { numRuns: 2_000 },
    );
  });

  it('refuses, by name, what could leave something in or make a resource invalid', () => {
    const of = (redaction: Redaction, type = 'Observation') => redactionProblems([redaction], [type]).join();
    assert.match(of({ path: 'status', do: 'remove' }), /Observation\.status is mandatory/);
    for (const path of ['id', 'resourceType', 'meta'])
      assert.match(of({ path, do: 'remove' }), /cannot be redacted/);
    assert.match(of({ path: 'nmae', do: 'remove' }), /nmae is an element of none/);
    assert.match(of({ path: 'component.code', do: 'remove' }), /Observation\.component\.code is mandatory/);
    assert.match(of({ path: 'issued', do: 'year' }), /instant/);
    assert.equal(of({ path: 'value[x]', do: 'remove' }), '');
    assert.equal(of({ path: 'effective', do: 'year' }), '');
  });
});
