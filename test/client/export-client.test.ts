import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { stamp } from '../../src/base/positions.ts';
import { namesOf } from '../../src/client/download.ts';
import { kickOff, runExport } from '../../src/client/export-client.ts';
import type { ExportProgress } from '../../src/client/export-client.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import type { ExportFile } from '../../src/events/status.ts';
import { runGateway } from '../http/running-gateway.ts';
import type { RunningGateway } from '../http/running-gateway.ts';

const clock = Date.now;

describe('export client', () => {
  let gateway: RunningGateway;
  let root: string;
  let server: string;
  const progress: ExportProgress[] = [];

  beforeEach(async () => {
    gateway = await runGateway();
    server = `${gateway.url}/fhir`;
    root = await mkdtemp(join(tmpdir(), 'headwater-client-'));
    progress.length = 0;
  });
  afterEach(async () => {
    await gateway.stop();
    await rm(root, { recursive: true, force: true });
  });

  async function put(
    kind: ExportFile['kind'],
    type: string,
    name: string,
    text: string,
  ): Promise<ExportFile> {
    const bytes = name.endsWith('.gz') ? gzipSync(text) : Buffer.from(text);
    const key = `folder/${name}`;
    const writer = await gateway.store.create(key);
    await writer.write(bytes);
    await writer.finish();
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { kind, type, key, count: text.split('\n').length - 1, bytes: bytes.length, sha256 };
  }

  /** The job goes on by one step each time that the client reports a step. */
  function complete(files: readonly ExportFile[]): (told: ExportProgress) => void {
    return (told) => {
      progress.push(told);
      if (told.stage === 'downloading') return;
      const { jobId, state } = gateway.jobs.only;
      if (state === 'accepted') gateway.jobs.set(jobId, { state: 'running', progress: 0.37 });
      else
        gateway.jobs.set(jobId, {
          state: 'completed',
          transactionTime: stamp(1),
          endedAt: Date.now(),
          files,
        });
    };
  }
  const options = (files: readonly ExportFile[]): Parameters<typeof runExport>[2] => ({
    clock,
    signal: AbortSignal.timeout(20_000),
    pollMs: 5,
    onProgress: complete(files),
  });

  const numbered = (count: number): string =>
    Array.from({ length: count }, (_, i) => `{"n":${String(i)}}\n`).join('');

  it('exports into a directory, verified, with the manifest last', async () => {
    const files = [
      ...(await Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          put('output', 'Patient', `Patient-${String(i)}.ndjson`, numbered(i * 9_000)),
        ),
      )),
      await put('output', 'Group', 'Group-1.ndjson.gz', numbered(500)),
      await put('deleted', 'Bundle', 'deleted-1.ndjson', numbered(3)),
    ];
    const since = '2024-01-01T00:00:00Z';
    const directory = join(root, 'out', 'deep');
    const result = await runExport({ server, types: ['Patient', 'Group'], since }, directory, options(files));

    assert.deepEqual(gateway.jobs.only.parameters, { ...EVERYTHING, types: ['Patient', 'Group'], since });
    const names = files.map((file) => file.key.slice('folder/'.length));
    assert.deepEqual((await readdir(directory)).sort(), [...names, 'manifest.json'].sort());
    assert.deepEqual(
      result.files.map(({ kind, type, count, bytes }) => ({ kind, type, count, bytes })),
      files.map(({ kind, type, count, bytes }) => ({ kind, type, count, bytes })),
    );
    assert.equal(await readFile(join(directory, 'Patient-3.ndjson'), 'utf8'), numbered(27_000));
    const manifest = JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8')) as {
      transactionTime: string;
    };
    assert.equal(manifest.transactionTime, '1970-01-01T00:00:00.001Z');

    assert.deepEqual(progress.slice(0, 2), [
      { stage: 'accepted', statusUrl: result.statusUrl },
      { stage: 'running', percent: 37, text: '37% replayed' },
    ]);
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    assert.deepEqual(progress.at(-1), {
      stage: 'downloading',
      files: 14,
      filesDone: 14,
      bytes,
      bytesTotal: bytes,
    });
  });

  it('asks for patients, groups and every parameter as the guide has them', async () => {
    const [since, until] = ['2024-01-01T00:00:00Z', '2025-01-01T00:00:00+01:00'];
    const typeFilters = ['Patient?active=true', 'Observation?code=a,b&date=ge2020'];
    const request = {
      types: ['Patient', 'Observation'],
      since,
      until,
      typeFilters,
      elements: ['id', 'Patient.name'],
      provenance: ['RelevantProvenanceResources', 'Shoes'],
      outputFormat: 'application/fhir+ndjson+gzip',
      lenient: true,
    };
    const expected = {
      ...EVERYTHING,
      types: request.types,
      since,
      until,
      typeFilters,
      elements: request.elements,
      provenance: 'relevant',
      outputFormat: 'ndjson+gzip',
    };
    const targets = [
      [{ allPatients: true }, { level: 'patient' }],
      [{ patients: ['a', 'b'] }, { level: 'patient', patients: ['a', 'b'] }],
      [{ group: 'g' }, { level: 'group', group: 'g' }],
      [
        { group: 'g', patients: ['a'] },
        { level: 'group', group: 'g', patients: ['a'] },
      ],
    ] as const;
    for (const [target, parameters] of targets) {
      await kickOff({ server, ...request, ...target }, AbortSignal.timeout(5_000));
      const { warnings, ...asked } = gateway.jobs.only.parameters;
      assert.deepEqual({ ...asked, warnings: [] }, { ...expected, ...parameters });
      assert.match(warnings.join(), /^Ignored: includeAssociatedData: "Shoes"/);
      gateway.jobs.views.clear();
    }
    await kickOff({ server, allPatients: true, organizeBy: 'Patient' }, AbortSignal.timeout(5_000));
    assert.deepEqual(gateway.jobs.only.parameters, {
      ...EVERYTHING,
      level: 'patient',
      organizeBy: 'Patient',
    });
  });

  it('counts resources, not the headers of output that is organized', async () => {
    const header = (id: string): string =>
      `{"resourceType":"Parameters","parameter":[{"name":"header","valueReference":{"reference":"Patient/${id}"}}]}\n`;
    const spaced = '{ "resourceType" : "Parameters" }\n';
    const body = header('a') + numbered(2) + header('b') + spaced + numbered(70_000) + header('c').trimEnd();
    const plain = { ...(await put('output', 'Patient', 'a.ndjson', body)), count: 70_002 };
    const zipped = { ...(await put('output', 'Patient', 'a.ndjson.gz', body)), count: 70_002 };
    const { files } = await runExport({ server }, join(root, 'out'), options([plain, zipped]));
    assert.deepEqual(
      files.map(({ count }) => count),
      [70_002, 70_002],
    );
  });

  it('gives only the manifest without a directory', async () => {
    const result = await runExport({ server }, undefined, options([]));
    assert.deepEqual([result.manifest.output, result.files], [[], []]);
  });

  const changes: Readonly<Record<string, Partial<ExportFile>>> = {
    sha256: { sha256: 'b'.repeat(64) },
    count: { count: 8 },
    bytes: { bytes: 7 },
  };
  for (const [name, change] of Object.entries(changes)) {
    it(`refuses a file whose ${name} is not as in the manifest, without telling the URL's signature`, async function () {
      this.timeout(10_000);
      const file = { ...(await put('output', 'Patient', 'a.ndjson', numbered(9))), ...change };
      await assert.rejects(runExport({ server }, join(root, 'out'), options([file])), (error: Error) => {
        assert.match(
          error.message,
          new RegExp(
            `a\\.ndjson is not what the manifest says: ${name} is .*, not ${String(change[name as 'count'])}`,
          ),
        );
        assert.ok(!error.message.includes('signature'));
        return true;
      });
      assert.deepEqual(await readdir(join(root, 'out')), []);
    });
  }

  it('tries a download again that was cut', async () => {
    const file = await put('output', 'Patient', 'a.ndjson', numbered(300_000));
    const read = gateway.store.read.bind(gateway.store);
    let reads = 0;
    gateway.store.read = async (key, range) => {
      const stream = await read(key, range);
      if (++reads === 1) stream.once('data', () => stream.destroy(new Error('cut'))).pause();
      return stream;
    };
    const { files } = await runExport({ server }, join(root, 'out'), options([file]));
    assert.equal(files[0]?.count, 300_000);
    assert.equal(reads, 2);
    const bytes = file.bytes;
    assert.deepEqual(progress.at(-1), {
      stage: 'downloading',
      files: 1,
      filesDone: 1,
      bytes,
      bytesTotal: bytes,
    });
  });

  it('says what the server says when it refuses, fails or has no such file', async () => {
    await assert.rejects(runExport({ server, types: ['Patiant'] }, undefined, options([])), {
      code: 'bad-request',
      message: /400.*"Patiant"/,
    });
    const failing = {
      ...options([]),
      onProgress: () =>
        gateway.jobs.set(gateway.jobs.only.jobId, {
          state: 'failed',
          failure: { code: 'limit', message: 'too large' },
        }),
    };
    await assert.rejects(runExport({ server }, undefined, failing), {
      code: 'internal',
      message: /500.*too large/,
    });
    gateway.jobs.views.clear();
    const missing = { ...(await put('output', 'Patient', 'a.ndjson', numbered(9))), key: 'folder/b.ndjson' };
    await assert.rejects(runExport({ server }, join(root, 'out'), options([missing])), {
      code: 'not-found',
      message: /b\.ndjson answered 404/,
    });
  });

  it('reports that no server answers', async () => {
    await gateway.stop();
    await assert.rejects(kickOff({ server }, AbortSignal.timeout(5_000)), {
      code: 'unavailable',
      message: /does not answer: .*ECONNREFUSED/,
    });
    gateway = await runGateway();
  });

  it('refuses a directory that holds anything, before it asks for an export', async () => {
    await put('output', 'Patient', 'a.ndjson', '');
    await assert.rejects(runExport({ server }, tmpdir(), options([])), {
      code: 'bad-request',
      message: /not empty/,
    });
    assert.equal(gateway.jobs.views.size, 0);
  });

  it('cancels the export on the server when it is given up', async () => {
    const giveUp = new AbortController();
    const onProgress = (): void => giveUp.abort();
    await assert.rejects(runExport({ server }, undefined, { clock, signal: giveUp.signal, onProgress }));
    assert.equal(gateway.jobs.only.cancelRequested, true);
  });

  it('waits as long as the server says', async () => {
    const begun = Date.now();
    const { signal } = new AbortController();
    await runExport({ server }, undefined, { clock, signal, onProgress: complete([]) });
    assert.ok(Date.now() - begun > 1_100, 'first poll soon, the second after Retry-After: 1');
    assert.equal(progress.length, 2);
  });
});

describe('names of downloaded files', () => {
  it('are safe and different', () => {
    const urls = [
      'http://h/a/x.ndjson?s=1',
      'http://h/b/x.ndjson',
      'http://h/',
      'http://h/..%2f..%2fetc',
      'http://h/.hidden',
      'http://h/manifest.json',
    ];
    assert.deepEqual(namesOf(urls.map((url) => ({ url }))), [
      'x.ndjson',
      '2-x.ndjson',
      'file',
      '_2f.._2fetc',
      'hidden',
      '6-manifest.json',
    ]);
  });
});
