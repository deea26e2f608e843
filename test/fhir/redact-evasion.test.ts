import assert from 'node:assert/strict';
import { compileRedactions } from '../../src/fhir/redact.ts';
import { redactionProblems } from '../../src/fhir/redaction.ts';
import type { Redaction } from '../../src/fhir/redaction.ts';
import { HeadwaterError } from '../../src/base/errors.ts';

/** Twenty types that have identifiers. */
const TYPES =
  'AdverseEvent AllergyIntolerance CarePlan Claim Communication Composition Condition Coverage Device DiagnosticReport DocumentReference Encounter ' +
  'ExplanationOfBenefit Immunization MedicationRequest Observation Patient Practitioner Procedure QuestionnaireResponse';
const PLANTED = 'Ann Planted';
const ESCAPED = PLANTED.replaceAll(/./g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
const BASE64 = Buffer.from(PLANTED).toString('base64');
const DEEP = `${'{"a":'.repeat(10_000)}"${PLANTED}"${'}'.repeat(10_000)}`;

const remove = (...paths: readonly string[]): Redaction[] => paths.map((path) => ({ path, do: 'remove' }));
const URL_OF_COPY = 'http://x/copy';
const COPY = `{"url":"${URL_OF_COPY}","valueString":"${PLANTED}"}`;

/** The members of a resource that hold the planted value, and the redactions that remove them. */
const CASES: Readonly<Record<string, readonly [string, readonly Redaction[]]>> = {
  'an element': [`"identifier":[{"value":"${PLANTED}"}]`, remove('identifier')],
  'an escaped name': [`"id\\u0065ntifier":[{"v\\u0061lue":"${ESCAPED}"}]`, remove('identifier')],
  'an escaped name of a part': [
    `"id\\u0065ntifier":[{"v\\u0061lue":"${ESCAPED}"}]`,
    remove('identifier.value'),
  ],
  'duplicate names': [`"identifier":[],"identifier":[{"value":"${PLANTED}"}]`, remove('identifier')],
  'duplicate names of a part': [
    `"identifier":[{"value":"x","value":"${PLANTED}"}],"identifier":{"value":"${PLANTED}"}`,
    remove('identifier.value'),
  ],
  siblings: [`"_identifier":[{"id":"${PLANTED}"}]`, remove('identifier')],
  'siblings of a part': [
    `"identifier":[{"system":"s","_value":{"extension":[${COPY}]}}],"_identifier":"${PLANTED}"`,
    remove('identifier.value'),
  ],
  'a value of another form': [
    `"identifier":["${PLANTED}",["${PLANTED}"],{"value":{"x":"${PLANTED}"}}]`,
    remove('identifier.value'),
  ],
  'parts that do not stay': [
    `"identifier":[{"system":"s","value":"${PLANTED}","assigner":{"display":"${BASE64}"}}]`,
    [{ path: 'identifier', do: 'remove', keep: ['system'] }],
  ],
  'a masked element': [
    `"identifier":[{"value":"${PLANTED}"}],"_identifier":"${PLANTED}"`,
    [{ path: 'identifier', do: 'mask' }],
  ],
  'a hashed identifier': [
    `"identifier":[{"value":"${PLANTED}"},{"value":["${PLANTED}"]},"${PLANTED}"]`,
    [{ path: 'identifier', do: 'hash', key: { name: 'k', fingerprint: '', secret: Buffer.alloc(32, 1) } }],
  ],
  'a copy in an extension': [`"extension":[${COPY}]`, remove(`extension(${URL_OF_COPY})`)],
  'a copy in an extension of a part': [
    `"identifier":[{"system":"s","extension":[${COPY}]}]`,
    remove(`identifier.extension(${URL_OF_COPY})`),
  ],
  'the narrative': [
    `"text":{"status":"generated","div":"<div>${PLANTED}</div>"},"_text":"${PLANTED}"`,
    remove('identifier'),
  ],
  'the display of a Reference': [
    `"meta":{"extension":[{"url":"u","valueReference":{"reference":"Patient/1","display":"${PLANTED}"}}]},"x":[[{"display":"${ESCAPED}"}]]`,
    remove('**.Reference.display'),
  ],
  'a contained Patient': [
    `"contained":[{"resourceType":"Patient","name":[{"text":"${PLANTED}"}],"text":{"div":"${PLANTED}"}},{"name":"${PLANTED}"},"${PLANTED}"]`,
    remove('name', 'identifier'),
  ],
  'a deep element': [`"identifier":[${DEEP}]`, remove('identifier')],
  'a deep element beside': [`"identifier":[{"value":${DEEP}}]`, remove('identifier.value')],
};

describe('a redacted value', () => {
  for (const [what, [members, redactions]] of Object.entries(CASES))
    it(`occurs in no output of twenty types: ${what}`, () => {
      for (const type of TYPES.split(' ')) {
        const own = redactions.filter((one) => redactionProblems([one], [type]).length === 0);
        const made = output(type, `{"resourceType":"${type}",${members},"id":"r"}`, own);
        for (const text of [PLANTED, BASE64, ESCAPED.slice(0, 12)])
          assert(!made.includes(text), `${type}: ${made.slice(0, 500)}`);
        assert.match(made, /"id":"r"/);
      }
    });

  it('occurs in no output of any type of a choice', () => {
    for (const [type, element] of [
      ['Observation', 'value'],
      ['Condition', 'onset'],
      ['MedicationRequest', 'reported'],
      ['Patient', 'deceased'],
    ] as const)
      for (const suffix of ['Quantity', 'String', 'Age', 'DateTime', 'Reference', 'Boolean', 'Period'])
        for (const name of [`${element}${suffix}`, `_${element}${suffix}`]) {
          const made = output(
            type,
            `{"resourceType":"${type}","id":"r","${name}":{"x":"${PLANTED}"}}`,
            remove(element),
          );
          const [known] = redactionProblems(remove(`${element}${suffix}`), [type]);
          if (known === undefined) assert(!made.includes(PLANTED), `${type}.${name}`);
        }
  });

  it('occurs in no output if it lies deeper than redaction looks', () => {
    for (const type of TYPES.split(' '))
      assert.throws(
        () => output(type, `{"resourceType":"${type}","id":"r","x":${DEEP}}`, remove('**.Reference.display')),
        (error: unknown) => error instanceof HeadwaterError && !error.message.includes(PLANTED),
      );
  });
});

function output(type: string, text: string, own: readonly Redaction[]): string {
  const of = (other: string): readonly Redaction[] | undefined =>
    other === 'Patient' ? remove('name') : own;
  const bytes = Buffer.from(text);
  return compileRedactions(type, { own, of, marked: true })(bytes, 0, bytes.length).toString();
}
