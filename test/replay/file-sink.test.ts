import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { allTopics } from '../../topics/all.ts';
import { lsn, stamp } from '../../src/base/positions.ts';
import { ResourceChangeCodec } from '../../src/events/resource-change-codec.ts';
import { FileSet } from '../../src/files/file-set.ts';
import { batchOf } from '../cohort/log-record.ts';
import { fileSink, NOWHERE, shaped } from '../../src/replay/file-sink.ts';
import { replayRange } from '../../src/replay/replay-range.ts';
import { selectionOf } from './selections.ts';
import { shapesOf } from '../../src/replay/shape.ts';
import { FsStore } from '../../src/storage/fs-store.ts';

const codec = new ResourceChangeCodec(
  new Map(allTopics.map(({ subject }, i) => [subject, { id: i + 1, writers: new Map() }])),
);

describe('files of resources that are reshaped', () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'sink-'));
  });
  after(() => rm(root, { recursive: true }));

  async function written(
    filter: { elements?: string[]; typeFilters?: string[] },
    bodies: Record<string, string>,
  ) {
    const folder = `f${Object.keys(filter)[0]}`;
    const files = new FileSet(
      {
        store: new FsStore(root),
        folder,
        taskId: '1',
        outputFormat: 'ndjson',
        layout: 'flat',
        fileBytes: 1e9,
      },
      'Medication',
    );
    const sink = fileSink(files, shapesOf({ elements: [], typeFilters: [], ...filter }, codec)('Medication'));
    const records = Object.entries(bodies).map(([id, body], i) => {
      const value = codec.encode({
        ...{ operation: 'create', stamp: stamp(1), lsn: lsn(1n), versionId: '1', lastUpdated: null },
        ...{ oversizeBytes: null, problem: null, patients: [], leftPatients: [], body: Buffer.from(body) },
      });
      const key = `Medication/${id}`;
      // The log has no such record, but disks fail.
      return { offset: i, key, stamp: 1, about: [], value: body === '' ? value.subarray(0, 12) : value };
    });
    await replayRange(
      {
        open: async function* () {
          yield batchOf(records);
        },
        from: 0,
      },
      {
        codec,
        sink,
        selection: selectionOf({ since: 0, until: undefined }, undefined, 'Medication', true),
        byPatients: false,
        onBatch: () => undefined,
      },
    );
    const lines: Record<string, string[]> = {};
    for (const { kind, key } of await files.finish())
      lines[kind] = (await readFile(join(root, key), 'utf8')).trim().split('\n');
    return lines;
  }

  for (const filter of [{ elements: ['status'] }, { typeFilters: ['Medication?status=active'] }])
    it(`a resource that is not JSON is named in error and the others go on, with ${Object.keys(filter)[0] ?? ''}`, async () => {
      const deep = `[${'{"extension":['.repeat(100_000)}${']}'.repeat(100_000)}]`;
      const lines = await written(filter, {
        a: '{"resourceType":"Medication","id":"a","status":"active"}',
        broken: '{"resourceType":"Medication","id":"secret',
        corrupt: '',
        deep: `{"resourceType":"Medication","id":"deep","status":"active","extension":${deep}}`,
      });
      assert.deepEqual(
        lines['output']?.toReversed().map((line) => (JSON.parse(line) as { id: string }).id),
        ['a', 'deep'],
      );
      const [corrupt = '', broken = '', ...others] = lines['error'] ?? [];
      assert.deepEqual(others, []);
      assert.match(broken, /Medication\/broken is not in this export: it is not JSON/);
      assert.doesNotMatch(broken, /secret/);
      const { issue } = JSON.parse(corrupt) as { issue: object[] };
      assert.partialDeepStrictEqual(issue[0], {
        severity: 'error',
        extension: [{ url: 'urn:headwater:resource', valueReference: { reference: 'Medication/corrupt' } }],
        details: { coding: [{ system: 'urn:headwater:problem', code: 'not-read' }] },
      });
      assert.match(String(lines['deleted']), /DELETE.*Medication\/corrupt/); // it is unknown whether its client has it
    });

  it('an error in our own code fails the task and is no problem of the resource', () => {
    const bug = (): never => {
      throw new TypeError("Cannot read properties of undefined (reading 'x')");
    };
    const change = codec.peek(codec.encode(ACTIVE));
    assert.throws(() => shaped(bug, NOWHERE, change), {
      code: 'internal',
      message: /TypeError.*reading 'x'/,
    });
  });

  it('a type filter fails on no JSON, whatever is where a resource has something else', () => {
    const shape = shapesOf({ elements: ['Observation.code'], typeFilters: FILTERS }, codec)('Observation');
    const name = fc.constantFrom(...['status', 'code', 'coding', 'system', 'value', 'subject', 'reference']);
    const names = fc.constantFrom(
      ...['valueQuantity', 'effectiveDateTime', 'effectivePeriod', 'start', 'meta'],
    );
    const key = fc.oneof(name, names, fc.constantFrom('lastUpdated', 'tag', 'contained', 'component'));
    fc.assert(
      fc.property(
        fc.dictionary(key, fc.jsonValue()),
        fc.dictionary(key, fc.dictionary(key, fc.jsonValue())),
        (a, b) => {
          const body = Buffer.from(JSON.stringify({ resourceType: 'Observation', id: 'x', ...a, ...b }));
          shaped(shape, NOWHERE, codec.peek(codec.encode({ ...ACTIVE, body })));
        },
      ),
      { numRuns: 500 },
    );
  });
});

const FILTERS = [
  ...['status=final', 'code=a|b', 'subject=Patient/p', 'value-quantity=gt5||mg', 'date=ge2020', '_tag=a|b'],
  ...['_lastUpdated=gt2020', 'combo-code=x', 'component-value-quantity=5'],
].map((query) => `Observation?${query}`);

const ACTIVE = {
  ...({ operation: 'create', stamp: stamp(1), lsn: lsn(1n), versionId: '1', lastUpdated: null } as const),
  ...{ oversizeBytes: null, problem: null, patients: [], leftPatients: [], body: Buffer.from('{}') },
};
