import assert from 'node:assert/strict';
import { allTopics } from '../../topics/all.ts';
import { lsn, stamp } from '../../src/base/positions.ts';
import { identityOf } from '../../src/deidentify/source.ts';
import type { DeidentifierSource } from '../../src/deidentify/source.ts';
import { ResourceChangeCodec } from '../../src/events/resource-change-codec.ts';
import type { Task } from '../../src/events/tasks.ts';
import { deidentifiedRun } from '../../src/replay/deidentified.ts';
import type { DeidentifiedRun } from '../../src/replay/deidentified.ts';
import { shapesOf } from '../../src/replay/shape.ts';

const codec = new ResourceChangeCodec(
  new Map(allTopics.map(({ subject }, i) => [subject, { id: i + 1, writers: new Map() }])),
);
const TIME = stamp(Date.parse('2026-01-31T00:00:00Z'));

const source = (method: string, key = 'k'): DeidentifierSource => ({
  name: 'study',
  config: JSON.stringify({
    fhirVersion: 'R4',
    fhirPathRules: [
      { path: 'Resource.id', method },
      { path: "nodesByType('date')", method: 'dateShift' },
    ],
  }),
  keys: { cryptoHash: Buffer.from(key), dateShift: Buffer.from(key) },
  scope: 'patient',
});

async function run(wanted: DeidentifierSource, own: DeidentifierSource[]): Promise<DeidentifiedRun> {
  const grant = { deidentify: identityOf(wanted) };
  const task = { filter: { rights: { grant, groupEnds: [], time: TIME } } } as unknown as Task;
  const started = await deidentifiedRun(task, { log: { codec }, deidentification: own });
  return started ?? assert.fail('it de-identifies nothing');
}

function lineOf({ shape }: DeidentifiedRun, resource: object, patients: string[]): Record<string, unknown> {
  const bytes = codec.encode({
    ...{ operation: 'create', stamp: stamp(1), lsn: lsn(1n), versionId: '1', lastUpdated: null },
    ...{ oversizeBytes: null, problem: null, patients, leftPatients: [] },
    body: Buffer.from(JSON.stringify(resource)),
  });
  const lines: string[] = [];
  const plain = shapesOf({ elements: [], typeFilters: [] }, codec)('Patient');
  const line = (data: Buffer, start: number, end: number): unknown =>
    lines.push(data.toString('utf8', start, end));
  assert.ok(shape(plain)({ line: (data, start, end) => void line(data, start, end) }, codec.peek(bytes)));
  return JSON.parse(lines.join('')) as Record<string, unknown>;
}

describe('a task whose resources are de-identified', () => {
  it('writes the same de-identified lines each time, with the dates of a patient moved alike', async () => {
    const made = await run(source('cryptoHash'), [source('cryptoHash')]);
    const of = (id: string): Record<string, unknown> =>
      lineOf(made, { resourceType: 'Patient', id, birthDate: '1980-01-01' }, ['p1']);
    assert.deepEqual(of('p1'), of('p1'));
    assert.match(String(of('p1').id), /^[0-9a-f]{64}$/);
    assert.equal(of('p1').birthDate, of('p2').birthDate);
    assert.notEqual(of('p1').birthDate, '1980-01-01');
  });

  it('names deleted and withheld resources by their new ids', async () => {
    const made = await run(source('cryptoHash'), [source('cryptoHash')]);
    const { id } = lineOf(made, { resourceType: 'Patient', id: 'p1' }, []);
    const deleted = { entry: [{ request: { method: 'DELETE', url: 'Patient/p1' } }] };
    assert.deepEqual(made.rename('deleted', 'Patient/p1', deleted), {
      entry: [{ request: { method: 'DELETE', url: `Patient/${String(id)}` } }],
    });
  });

  it('names nothing if ids are removed', async () => {
    const made = await run(source('redact'), [source('redact')]);
    assert.equal(made.rename('deleted', 'Patient/p1', { url: 'Patient/p1' }), undefined);
    assert.deepEqual(made.rename('error', 'Patient/p1', { text: 'Patient/p1 is missing' }), {
      text: 'Patient is missing',
    });
  });

  it('fails with another configuration, another key or no configuration', async () => {
    for (const own of [[source('redact')], [source('cryptoHash', 'other')], []])
      await assert.rejects(run(source('cryptoHash'), own), { code: 'unsupported' });
  });
});
