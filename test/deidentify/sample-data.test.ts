import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { parseConfig } from '../../src/deidentify/config.ts';
import { Deidentifier } from '../../src/deidentify/deidentifier.ts';

const ROOT = new URL('../../', import.meta.url);
const AT = Date.parse('2026-01-31T12:00:00Z');

interface Resource {
  readonly resourceType: string;
  readonly id: string;
  readonly name?: readonly { readonly family?: string }[];
}

const linesOf = (type: string): string[] =>
  gunzipSync(readFileSync(new URL(`data/synthea-10/${type}.ndjson.gz`, ROOT)))
    .toString()
    .split('\n')
    .filter((line) => line !== '');
const keyOf = (line: string): string => {
  const { resourceType, id } = JSON.parse(line) as Resource;
  return `${resourceType}/${id}`;
};
const referencesOf = (line: string): string[] =>
  [...line.matchAll(/"reference":\s*"([A-Z]\w+\/[^"]+)"/g)].map(([, reference = '']) => reference);

describe('the sample data under the sample configuration', () => {
  it('keeps every reference that led to a resource, and no family name or id of a patient', async () => {
    const sample = readFileSync(new URL('fixtures/configuration-sample.json', import.meta.url));
    const keys = { cryptoHash: Buffer.from('a'), dateShift: Buffer.from('b') };
    const deidentifier = await Deidentifier.of(parseConfig(sample, 'c'), keys, { place: 'c' });
    const before = ['Patient', 'Condition', 'Immunization', 'CareTeam', 'Device'].flatMap(linesOf);
    const after = before.map((line) => deidentifier.apply(line, { at: AT, patients: [] }));
    const resolved = (lines: readonly string[]): number => {
      const known = new Set(lines.map(keyOf));
      return lines.flatMap(referencesOf).filter((reference) => known.has(reference)).length;
    };
    assert.ok(resolved(before) > 100);
    assert.equal(resolved(after), resolved(before));
    const text = after.join('\n');
    for (const line of linesOf('Patient')) {
      const { id, name = [] } = JSON.parse(line) as Resource;
      for (const planted of [id, ...name.flatMap(({ family }) => family ?? [])])
        assert.ok(!text.includes(planted), planted);
    }
  });
});
