import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { allTopics } from '../../topics/all.ts';
import { lsn, stamp } from '../../src/base/positions.ts';
import type { Operation } from '../../src/events/resource-change.ts';
import { ResourceChangeCodec } from '../../src/events/resource-change-codec.ts';
import type { OutputFormat } from '../../src/events/request.ts';
import { FileSet } from '../../src/files/file-set.ts';
import type { RecordBatch } from '../../src/log/log.ts';
import { openBatch, splitBatches } from '../../src/log/kafka/read/record-batch-reader.ts';
import { BatchBuilder, claim } from '../../src/log/kafka/append/record-batch-writer.ts';
import { fileSink } from '../../src/replay/file-sink.ts';
import { replayRange } from '../../src/replay/replay-range.ts';
import { selectionOf } from './selections.ts';
import { shapesOf } from '../../src/replay/shape.ts';
import { FsStore } from '../../src/storage/fs-store.ts';

const ids = new Map(allTopics.map(({ subject }, i) => [subject, { id: i + 1, writers: new Map() }]));
const codec = new ResourceChangeCodec(ids);

interface Change {
  readonly id: string;
  readonly operation: Operation;
  readonly stamp: number;
  readonly lastUpdated: number | null;
  readonly body: string | undefined;
}

/** A history of one partition: the first load, then changes; a delete only of what is there, stamps that never go back. */
const history = fc
  .record({
    loaded: fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.constantFrom(null, 5, 10, 30)), {
      selector: ([id]) => id,
    }),
    steps: fc.array(
      fc.record({
        id: fc.integer({ min: 0, max: 9 }),
        delete: fc.boolean(),
        later: fc.integer({ min: 0, max: 2 }),
        oversize: fc.constantFrom(true, false, false, false),
      }),
      { maxLength: 60 },
    ),
  })
  .map(({ loaded, steps }) => {
    const changes: Change[] = loaded.map(([id, lastUpdated]) => ({
      id: `r${id}`,
      operation: 'snapshot',
      stamp: 10,
      lastUpdated,
      body: `{"load":${id}}`,
    }));
    const live = new Set(changes.map(({ id }) => id));
    let at = 11;
    for (const [n, step] of steps.entries()) {
      const id = `r${step.id}`;
      at += step.later;
      if (step.delete && !live.has(id)) continue;
      const operation = step.delete ? 'delete' : live.has(id) ? 'update' : 'create';
      const body = step.delete || step.oversize ? undefined : `{"step":${n},"text":"é☃"}`;
      changes.push({ id, operation, stamp: at, lastUpdated: null, body });
      if (step.delete) live.delete(id);
      else live.add(id);
    }
    return changes;
  });

async function* newestFirst(changes: readonly Change[], size: number): AsyncIterable<RecordBatch> {
  for (let end = changes.length; end > 0; end -= size) {
    const builder = new BatchBuilder();
    for (const change of changes.slice(Math.max(0, end - size), end)) {
      const value = codec.encode({
        operation: change.operation,
        stamp: stamp(change.stamp),
        lsn: lsn(1n),
        versionId: '1',
        lastUpdated: change.lastUpdated,
        oversizeBytes: change.body === undefined && change.operation !== 'delete' ? 99 : null,
        patients: ['p'],
        leftPatients: [],
        problem: null,
        body: change.body === undefined ? null : Buffer.from(change.body),
      });
      builder.add(change.stamp, Buffer.from(`Observation/${change.id}`), value);
    }
    const built = await builder.finish();
    claim(built, { producerId: 1n, producerEpoch: 0, transactional: true }, 0);
    const [batch] = splitBatches(built);
    assert.ok(batch);
    yield openBatch(batch);
  }
}

describe('replay of a range', () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'replay-'));
  });
  after(() => rm(root, { recursive: true }));
  let run = 0;

  async function replay(
    changes: readonly Change[],
    options: { since?: number; batch: number; fileBytes: number; outputFormat: OutputFormat },
  ) {
    const files = new FileSet(
      { store: new FsStore(root), folder: `f${run++}`, taskId: '0001', layout: 'flat', ...options },
      'Observation',
    );
    const period = { since: options.since, until: undefined };
    await replayRange(
      { open: () => newestFirst(changes, options.batch), from: 0 },
      {
        codec,
        selection: selectionOf(period, undefined, 'Observation'),
        byPatients: false,
        sink: fileSink(files, shapesOf({ typeFilters: [], elements: [] }, codec)('Observation')),
        onBatch: () => undefined,
      },
    );
    const written = await files.finish();
    const lines: Record<string, string[]> = { output: [], deleted: [], error: [] };
    for (const file of written) {
      const stored = await readFile(join(root, file.key));
      assert.equal(stored.length, file.bytes);
      assert.equal(createHash('sha256').update(stored).digest('hex'), file.sha256);
      const text = (file.key.endsWith('.gz') ? gunzipSync(stored) : stored).toString();
      const found = text.split('\n').slice(0, -1);
      assert.equal(found.length, file.count);
      assert.ok(file.count > 0, 'no empty files');
      lines[file.kind]?.push(...found);
    }
    return { written, lines };
  }

  it('writes the newest version of each resource, once, and under since what changed and what was deleted', async () => {
    await fc.assert(
      fc.asyncProperty(
        history,
        fc.option(fc.integer({ min: 4, max: 60 }), { nil: undefined }),
        fc.record({
          batch: fc.integer({ min: 1, max: 9 }),
          fileBytes: fc.constantFrom(40, 200, 100_000),
          outputFormat: fc.constantFrom<OutputFormat>('ndjson', 'ndjson+gzip'),
        }),
        async (changes, since, shape) => {
          const { lines } = await replay(changes, { ...shape, ...(since !== undefined && { since }) });
          const newest = new Map(changes.map((change) => [change.id, change]));
          const changed = [...newest.values()].filter(
            (change) =>
              since === undefined || Math.min(change.lastUpdated ?? change.stamp, change.stamp) > since,
          );
          const bodies = changed.flatMap(({ body }) => body ?? []);
          assert.deepEqual(lines['output']?.sort(), bodies.sort());
          const gone = changed
            .filter((change) => since !== undefined && isGone(change, changes, since))
            .map(({ id }) => `Observation/${id}`);
          assert.deepEqual(lines['deleted']?.map(deletedKey).sort(), gone.sort());
          const missing = changed.filter(
            ({ operation, body }) => operation !== 'delete' && body === undefined,
          );
          assert.equal(lines['error']?.length, missing.length);
          for (const { id } of missing)
            assert.ok(lines['error']?.some((line) => line.includes(`Observation/${id} `)));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('writes the same bytes to the same names when it is done again', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (changes) => {
        const shape = { since: 12, batch: 4, fileBytes: 100, outputFormat: 'ndjson+gzip' as const };
        const named = ({ written }: Awaited<ReturnType<typeof replay>>) =>
          written.map((file) => ({ ...file, key: file.key.split('/')[1] }));
        assert.deepEqual(named(await replay(changes, shape)), named(await replay(changes, shape)));
      }),
      { numRuns: 30 },
    );
  });
});

/** Whether a changed resource is one that is not there and that a client of `since` may have. */
function isGone({ id, operation, body }: Change, changes: readonly Change[], since: number): boolean {
  if (operation === 'delete' || body !== undefined) return operation === 'delete';
  if (operation === 'update') return true;
  return (changes.findLast((other) => other.id === id && other.operation === 'delete')?.stamp ?? 0) > since;
}

function deletedKey(line: string): string {
  const bundle = JSON.parse(line) as {
    resourceType: string;
    type: string;
    entry: { request: { method: string; url: string } }[];
  };
  assert.equal(bundle.resourceType, 'Bundle');
  assert.equal(bundle.type, 'transaction');
  const [entry, ...more] = bundle.entry;
  assert.deepEqual(more, []);
  assert.equal(entry?.request.method, 'DELETE');
  return entry.request.url;
}
