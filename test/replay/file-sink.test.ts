import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allTopics } from '../../topics/all.ts';
import { lsn, stamp } from '../../src/base/positions.ts';
import { ResourceChangeCodec } from '../../src/events/resource-change-codec.ts';
import { FileSet } from '../../src/files/file-set.ts';
import { fileSink } from '../../src/replay/file-sink.ts';
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
      { store: new FsStore(root), folder, taskId: '1', outputFormat: 'ndjson', fileBytes: 1e9 },
      'Medication',
    );
    const sink = fileSink(files, shapesOf({ elements: [], typeFilters: [], ...filter }, codec)('Medication'));
    for (const [id, body] of Object.entries(bodies)) {
      const change = codec.encode({
        ...{ operation: 'create', stamp: stamp(1), lsn: lsn(1n), versionId: '1', lastUpdated: null },
        ...{ oversizeBytes: null, problem: null, patients: [], leftPatients: [], body: Buffer.from(body) },
      });
      sink.returned(codec.peek(change), `Medication/${id}`);
    }
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
        deep: `{"resourceType":"Medication","id":"deep","status":"active","extension":${deep}}`,
      });
      assert.deepEqual(
        lines['output']?.map((line) => (JSON.parse(line) as { id: string }).id),
        ['a', 'deep'],
      );
      assert.equal(lines['error']?.length, 1);
      assert.match(lines['error'][0] ?? '', /Medication\/broken is not in this export: it is not JSON/);
      assert.doesNotMatch(lines['error'][0] ?? '', /secret/);
    });
});
