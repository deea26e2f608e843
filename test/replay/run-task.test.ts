import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HeadwaterError } from '../../src/base/errors.ts';
import { lsn, offset, stamp } from '../../src/base/positions.ts';
import { ResourceChangeCodec } from '../../src/events/resource-change-codec.ts';
import type { Task } from '../../src/events/tasks.ts';
import { References } from '../../src/fhir/reference.ts';
import { runTask } from '../../src/replay/run-task.ts';
import { FsStore } from '../../src/storage/fs-store.ts';
import { batchOf } from '../cohort/log-record.ts';

const LARGE = 6 << 20;
const filter = {
  since: undefined,
  until: undefined,
  scope: undefined,
  typeFilters: [],
  elements: [],
  everyPatient: false,
};
const task: Task = {
  ...{ jobId: 'job', taskId: '0001', lane: 'quick', folder: 'f', outputFormat: 'ndjson', layout: 'flat' },
  ...{ ranges: [{ type: 'Patient', partition: 0, from: offset(0), to: offset(4), gaps: [] }], filter },
  ...{ related: undefined, organized: undefined, warnings: [], plannedBytes: 1, topicIds: new Map() },
};

describe('a task', () => {
  it('leaves no part of a file when the log fails in the middle', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'run-task-'));
    const references = new References([]);
    const codec = new ResourceChangeCodec(
      new Map([['resources', { id: 1, writers: new Map() }]]),
      references,
    );
    const body = Buffer.from(`{"resourceType":"Patient","id":"a","x":"${'x'.repeat(LARGE)}"}`);
    const value = codec.encode({
      ...{ operation: 'create', stamp: stamp(1), lsn: lsn(1n), versionId: '1', lastUpdated: null },
      ...{ oversizeBytes: null, problem: null, patients: ['a'], leftPatients: [], body },
    });
    const filesAtFailure: string[] = [];
    const filesNow = (): string[] => readdirSync(directory, { recursive: true, encoding: 'utf8' });
    const reader = {
      topics: () => Promise.resolve(new Map()),
      async *readBackward() {
        for (const at of [3, 2, 1])
          yield batchOf([{ offset: at, key: `Patient/${at}`, stamp: 1, value, about: undefined }]);
        for (let i = 0; i < 100 && !filesNow().some((name) => name.includes('Patient')); i++)
          await new Promise((resolve) => setTimeout(resolve, 10));
        filesAtFailure.push(...filesNow());
        throw new HeadwaterError('corrupt', 'the log fails');
      },
    };
    const tools = {
      log: { reader, codec, topicOf: (type: string) => type },
      store: new FsStore(directory),
      references,
      patientsOf: () => Promise.resolve([]),
      fileBytes: 1 << 30,
    };
    const control = { signal: AbortSignal.timeout(10_000), onProgress: () => undefined };
    await assert.rejects(runTask(task, tools, control), /the log fails/);
    const partsOf = (names: readonly string[]): string[] => names.filter((name) => name.includes('Patient'));
    assert.equal(partsOf(filesAtFailure).length, 1, 'a part was under way');
    assert.deepEqual(partsOf(filesNow()), []);
    rmSync(directory, { recursive: true });
  });
});
