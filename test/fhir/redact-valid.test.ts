import assert from 'node:assert/strict';
import { partsOf } from '../../src/fhir/parts.ts';
import { compileRedactions } from '../../src/fhir/redact.ts';
import { redactionProblems } from '../../src/fhir/redaction.ts';
import type { Redaction } from '../../src/fhir/redaction.ts';
import { sampleLines } from '../support/sample.ts';
import { prepareValidator, validate } from './validator.ts';

const TIMEOUT_MS = 300_000;

describe('a resource with masked elements', function () {
  this.timeout(TIMEOUT_MS);
  before(async function () {
    const missing = await prepareValidator(AbortSignal.timeout(TIMEOUT_MS));
    if (missing === undefined) return;
    console.log(`      HAPI's validator is skipped: ${missing}`);
    this.skip();
  });

  it('is valid in R4, with every mandatory element that can be masked, of every type in the sample', async () => {
    const cases = [...sampleLines()].flatMap(([type, lines]) => {
      const masks = partsOf(type)
        .filter(({ mandatory }) => mandatory)
        .map(({ name }): Redaction => ({ path: name, do: 'mask' }))
        .filter((redaction) => redactionProblems([redaction], [type]).length === 0);
      if (masks.length === 0) return [];
      const redact = compileRedactions(type, { own: masks, of: () => [], marked: true });
      return lines.slice(0, 3).map((line) => {
        const bytes = Buffer.from(line);
        return redact(bytes, 0, bytes.length).toString();
      });
    });
    assert(cases.length > 30);
    const errors = await validate(cases, AbortSignal.timeout(TIMEOUT_MS));
    assert.deepEqual(
      cases.flatMap((text, i) => (errors[i] ? [`${errors[i]}: ${text.slice(0, 80)}`] : [])),
      [],
    );
  });
});
