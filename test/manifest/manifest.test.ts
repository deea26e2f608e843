import assert from 'node:assert/strict';
import { stamp } from '../../src/base/positions.ts';
import type { ExportFile } from '../../src/events/status.ts';
import type { JobView } from '../../src/jobs/job.ts';
import { manifestOf, wholeManifestOf } from '../../src/manifest/manifest.ts';
import { EVERYTHING } from '../../src/events/request.ts';

const file = (kind: ExportFile['kind'], type: string, key: string): ExportFile => ({
  kind,
  type,
  key,
  count: 3,
  bytes: 42,
  sha256: 'ab',
});

const job: JobView = {
  jobId: 'j',
  clientId: 'c',
  requestUrl: 'http://h/fhir/$export',
  state: 'completed',
  cancelRequested: false,
  parameters: EVERYTHING,
  acceptedAt: 1,
  endedAt: 2,
  transactionTime: stamp(Date.UTC(2026, 0, 2, 3, 4, 5)),
  progress: 1,
  failure: undefined,
  filesByTask: [],
  files: [
    file('output', 'Group', 'f/1'),
    file('deleted', 'Bundle', 'f/2'),
    file('error', 'OperationOutcome', 'f/3'),
    file('output', 'Patient', 'f/4'),
  ],
};
const url = (key: string): string => `http://h/${key}`;
const urls = { file: url, page: (n: number) => `http://h/page/${n}` };

describe('manifest', () => {
  it('has the fields of the guide, and deleted only with _since', () => {
    const entry = (type: string, key: string): object => ({
      type,
      url: url(key),
      count: 3,
      extension: { bytes: 42, sha256: 'ab' },
    });
    const plain = {
      transactionTime: '2026-01-02T03:04:05.000Z',
      request: 'http://h/fhir/$export',
      requiresAccessToken: false,
      output: [entry('Group', 'f/1'), entry('Patient', 'f/4')],
      error: [entry('OperationOutcome', 'f/3')],
    };
    assert.deepEqual(manifestOf(job, urls), plain);
    const since = { ...job, parameters: { ...job.parameters, since: '2025-01-01T00:00:00Z' } };
    assert.deepEqual(manifestOf(since, urls), { ...plain, deleted: [entry('Bundle', 'f/2')] });
  });

  it('has empty lists when there is nothing', () => {
    const since = { ...job.parameters, since: '2025-01-01T00:00:00Z' };
    const manifest = manifestOf({ ...job, files: [], parameters: since }, urls);
    assert.deepEqual([manifest?.output, manifest?.deleted, manifest?.error], [[], [], []]);
  });

  it('does not exist for a job that is not completed', () => {
    assert.equal(manifestOf({ ...job, state: 'running' }, urls), undefined);
    assert.throws(() => wholeManifestOf({ ...job, state: 'running' }, url), { code: 'internal' });
  });

  describe('with partial manifests', () => {
    const task = (n: number, files: number): ExportFile[] =>
      Array.from({ length: files }, (_, i) => file('output', 'Patient', `f/${n}.${i}`));
    const parameters = { ...EVERYTHING, partialManifests: true };
    const running: JobView = { ...job, parameters, state: 'running', files: [], filesByTask: [task(1, 15)] };
    const keys = (view: JobView, page?: number): string[] | undefined =>
      manifestOf(view, urls, { page })?.output.map((one) => one.url);

    it('there is none until a page is full', () => {
      assert.equal(manifestOf(running, urls), undefined);
    });

    it('a page ends with the task that fills it, and never changes but for its link', () => {
      const full: JobView = { ...running, filesByTask: [...running.filesByTask, task(2, 10)] };
      const first = keys(full);
      assert.equal(first?.length, 25);
      assert.equal(manifestOf(full, urls)?.link, undefined);
      assert.equal(manifestOf(full, urls, { page: 2 }), undefined);
      const more: JobView = { ...full, filesByTask: [...full.filesByTask, task(3, 1)] };
      assert.deepEqual(keys(more), first);
      const done: JobView = { ...more, state: 'completed' };
      assert.deepEqual(keys(done), first);
      assert.deepEqual(manifestOf(done, urls)?.link, [{ relation: 'next', url: 'http://h/page/2' }]);
      assert.deepEqual(keys(done, 2), ['http://h/f/3.0']);
      assert.equal(manifestOf(done, urls, { page: 2 })?.link, undefined);
      assert.equal(manifestOf(done, urls, { page: 3 }), undefined);
    });

    it('a completed job without files has one empty page', () => {
      assert.deepEqual(keys({ ...running, state: 'completed', filesByTask: [[]] }), []);
    });
  });

  it('names no type of output that is organized by one', () => {
    const organized = { ...job, parameters: { ...EVERYTHING, organizeBy: 'Patient' } };
    const manifest = manifestOf(organized, urls);
    assert.equal(manifest?.outputOrganizedBy, 'Patient');
    assert.ok(manifest.output.every((one) => !('type' in one)));
    assert.ok(manifest.error.every((one) => one.type === 'OperationOutcome'));
  });
});
