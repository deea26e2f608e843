import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copiesOf, patientByPatient, scalePopulation } from '../../bench/scale.ts';

const SAMPLE = join(import.meta.dirname, '..', '..', 'data', 'synthea-10');

describe('copiesOf', () => {
  const own = '00000001-aaaa-bbbb-cccc-000000000001';
  const shared = 'ffffffff-aaaa-bbbb-cccc-000000000002';
  const line = `{"resourceType":"Encounter","id":"${own}","x":"Patient/${own}","y":"Organization/${shared}","z":"é"}\n`;
  const copies = (text: string, count: number): string[] =>
    Array.from(copiesOf(Buffer.from(text), count, new Set([shared])), (copy) => copy.toString());

  it('begins with the input itself', () => assert.equal(copies(line, 3)[0], line));

  it('gives every copy an id of its own that references follow', () => {
    const ids = copies(line, 50).map((copy) => {
      const { id, x, y, z } = JSON.parse(copy) as Record<string, string>;
      assert.equal(x, `Patient/${id}`);
      assert.equal(y, `Organization/${shared}`);
      assert.equal(z, 'é');
      assert.match(id ?? '', /^[0-9a-f]{8}-aaaa-bbbb-cccc-000000000001$/);
      return id;
    });
    assert.equal(new Set(ids).size, 50);
  });

  it('numbers ids that are no UUIDs', () => {
    const [, second, third] = copies(
      `{"resourceType":"Group","id":"four"}\n{"resourceType":"Group","id":"${own}"}\n`,
      3,
    );
    assert.match(
      second ?? '',
      /^\{"resourceType":"Group","id":"four-1"\}\n\{"resourceType":"Group","id":"[0-9a-f-]{36}"\}\n$/,
    );
    assert.match(third ?? '', /"four-2"/);
  });
});

describe('patientByPatient', () => {
  it('puts the lines of a patient one after the other, and keeps all else', () => {
    const line = (patient: string, text: string): string =>
      `{"x":"${text}","subject":{"reference":"Patient/${patient}"}}\n`;
    const lines = [line('a', '1'), line('b', '2'), '{"x":"é"}\n', line('a', '3'), line('b', '4')];
    const expected = [lines[0], lines[3], lines[1], lines[4], lines[2]].join('');
    assert.equal(patientByPatient(Buffer.from(lines.join(''))).toString(), expected);
  });
});

describe('scalePopulation', () => {
  let target = '';
  beforeEach(async () => (target = await mkdtemp(join(tmpdir(), 'scaled-'))));
  afterEach(() => rm(target, { recursive: true }));

  it('writes whole copies, providers once, every id once', async () => {
    const { signal } = new AbortController();
    const scaled = await scalePopulation({ source: SAMPLE, target, patients: 21, signal });
    const keys: string[] = [];
    let bytes = 0;
    for (const name of await readdir(target)) {
      const text = await readFile(join(target, name), 'utf8');
      bytes += Buffer.byteLength(text);
      for (const line of text.trimEnd().split('\n')) {
        const { resourceType, id } = JSON.parse(line) as { resourceType: string; id: string };
        assert.equal(`${resourceType}.ndjson`, name);
        keys.push(`${resourceType}/${id}`);
      }
    }
    const count = (type: string): number => keys.filter((key) => key.startsWith(`${type}/`)).length;
    assert.equal(new Set(keys).size, keys.length);
    assert.deepEqual(scaled, { patients: 30, resources: keys.length, bytes });
    assert.equal(count('Patient'), 30);
    assert.equal(count('Practitioner'), 31);
  });
});
