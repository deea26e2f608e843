import assert from 'node:assert/strict';
import { stamp } from '../../src/base/positions.ts';
import type { ExportFile } from '../../src/events/status.ts';
import type { JobView } from '../../src/jobs/job.ts';
import { manifestOf } from '../../src/manifest/manifest.ts';

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
  parameters: { types: [], since: undefined, outputFormat: 'ndjson' },
  acceptedAt: 1,
  endedAt: 2,
  transactionTime: stamp(Date.UTC(2026, 0, 2, 3, 4, 5)),
  progress: 1,
  failure: undefined,
  files: [
    file('output', 'Group', 'f/1'),
    file('deleted', 'Bundle', 'f/2'),
    file('error', 'OperationOutcome', 'f/3'),
    file('output', 'Patient', 'f/4'),
  ],
};
const url = (key: string): string => `http://h/${key}`;

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
    assert.deepEqual(manifestOf(job, url), plain);
    const since = { ...job, parameters: { ...job.parameters, since: '2025-01-01T00:00:00Z' } };
    assert.deepEqual(manifestOf(since, url), { ...plain, deleted: [entry('Bundle', 'f/2')] });
  });

  it('has empty lists when there is nothing', () => {
    const { output, deleted, error } = manifestOf(
      { ...job, files: [], parameters: { ...job.parameters, since: '2025-01-01T00:00:00Z' } },
      url,
    );
    assert.deepEqual([output, deleted, error], [[], [], []]);
  });

  it('does not exist for a job that is not completed', () => {
    assert.throws(() => manifestOf({ ...job, state: 'running' }, url), { code: 'internal' });
  });
});
