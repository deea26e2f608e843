import assert from 'node:assert/strict';
import { compileElements } from '../../src/fhir/elements.ts';
import { sampleLines } from '../support/sample.ts';
import { prepareValidator, validate } from './validator.ts';

const INSTALL_MS = 300_000;
const VALIDATE_MS = 300_000;
/** Of each type: every one of ExplanationOfBenefit has the same parts. */
const RESOURCES = 10;
const WANTED = [['id'], ['status', 'subject', 'value'], ['contained'], ['insurance', 'text']];

describe('what _elements leaves', () => {
  before(async function () {
    this.timeout(INSTALL_MS);
    const missing = await prepareValidator(AbortSignal.timeout(INSTALL_MS));
    if (missing === undefined) return;
    console.log(`      HAPI's validator is skipped: ${missing}`);
    this.skip();
  });

  it('is valid in R4, of every type in the sample', async function () {
    this.timeout(VALIDATE_MS);
    const cases = [...sampleLines()].flatMap(([type, lines]) =>
      some(lines).flatMap((line) =>
        [...WANTED, ...someElements(line)].map((elements) => ({ elements, text: cut(elements, type, line) })),
      ),
    );
    const errors = await validate(
      cases.map(({ text }) => text),
      AbortSignal.timeout(VALIDATE_MS),
    );
    const invalid = cases.flatMap(({ elements, text }, i) =>
      errors[i] ? [`${elements.join()}: ${errors[i]}: ${text.slice(0, 80)}`] : [],
    );
    assert.deepEqual(invalid, []);
    assert.ok(cases.length > 500);
  });

  it('would not be valid without what it keeps', async function () {
    this.timeout(VALIDATE_MS);
    const [error = ''] = await validate(
      ['{"resourceType":"Organization","id":"o"}'],
      AbortSignal.timeout(VALIDATE_MS),
    );
    assert.match(error, /org-1/);
  });
});

function some(lines: readonly string[]): string[] {
  const step = Math.ceil(lines.length / RESOURCES);
  return lines.filter((_, i) => i % step === 0);
}

/** An element of the resource, another for each. */
function someElements(line: string): string[][] {
  const names = Object.keys(JSON.parse(line) as object).filter((name) => name !== 'resourceType');
  const name = names[line.length % names.length];
  return name === undefined ? [] : [[name]];
}

function cut(elements: readonly string[], type: string, line: string): string {
  const bytes = Buffer.from(line);
  const reduce = compileElements(elements, type);
  return reduce ? reduce(bytes, 0, bytes.length).toString() : line;
}
