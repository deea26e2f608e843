import assert from 'node:assert/strict';
import { HeadwaterError } from '../../src/base/errors.ts';
import { stamp } from '../../src/base/positions.ts';
import type { ExportFile } from '../../src/events/status.ts';
import type { Manifest } from '../../src/manifest/manifest.ts';
import { assertOutcome, runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

describe('export status', () => {
  let gateway: RunningGateway;
  let statusUrl: string;
  let jobId: string;
  beforeEach(async () => {
    gateway = await runGateway();
  });
  afterEach(() => gateway.stop());

  async function kickOff(query: string, prefer = 'respond-async'): Promise<void> {
    const answer = await gateway.ask(`/fhir/$export?${query}`, { headers: { prefer } });
    statusUrl = answer.headers.get('content-location') ?? '';
    ({ jobId } = gateway.jobs.only);
  }
  const filesOf = (task: number, count: number): ExportFile[] =>
    Array.from({ length: count }, (_, i) => ({
      kind: 'output',
      type: 'Patient',
      key: `f/Patient-${String(task)}-${String(i)}.ndjson`,
      count: 1,
      bytes: 2,
      sha256: 'aa',
    }));
  const paths = (manifest: Manifest): string[] =>
    manifest.output.map(({ url }) => new URL(url).pathname.replace('/fhir/$export-file/', ''));

  describe('apart from the HTTP status', () => {
    beforeEach(() => kickOff('', 'respond-async, separate-export-status'));

    it('is 200 and X-Export-Status: 202 Accepted while the export runs, with progress and when to ask', async () => {
      for (const state of ['accepted', 'running'] as const) {
        gateway.jobs.set(jobId, { state, progress: 0.5 });
        const response = await gateway.ask(statusUrl);
        assert.equal(response.status, 200);
        assert.equal(response.headers.get('x-export-status'), '202 Accepted');
        assert.match(response.headers.get('x-progress') ?? '', /^\d+% /);
        assert.match(response.headers.get('retry-after') ?? '', /^\d+$/);
        assert.equal(await response.text(), '');
      }
    });

    it('is 200 and X-Export-Status: 200 OK with the manifest when complete', async () => {
      gateway.jobs.set(jobId, {
        state: 'completed',
        transactionTime: stamp(1),
        endedAt: Date.now(),
        files: filesOf(1, 1),
      });
      const response = await gateway.ask(statusUrl);
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('x-export-status'), '200 OK');
      assert.match(response.headers.get('expires') ?? '', / GMT$/);
      assert.equal(((await response.json()) as Manifest).output.length, 1);
    });

    for (const [code, status] of [
      ['not-found', '404 Not Found'],
      ['bad-request', '400 Bad Request'],
      ['limit', '500 Internal Server Error'],
    ] as const) {
      it(`is 200 and X-Export-Status: ${status} with an OperationOutcome when failed by ${code}`, async () => {
        gateway.jobs.set(jobId, { state: 'failed', failure: { code, message: 'the reason' } });
        const response = await gateway.ask(statusUrl);
        assert.equal(response.headers.get('x-export-status'), status);
        await assertOutcome(response, 200, /the reason/);
      });
    }

    it('leaves to the HTTP status what is about the asking: 404 after DELETE, 503, 400', async () => {
      await assertOutcome(await gateway.ask(`${statusUrl}?page=0`), 400, /page: "0"/);
      gateway.jobs.failure = new HeadwaterError('unavailable', 'away');
      const away = await gateway.ask(statusUrl);
      assert.equal(away.headers.get('x-export-status'), null);
      await assertOutcome(away, 503, /./);
      gateway.jobs.failure = undefined;
      await assertOutcome(await gateway.ask(statusUrl, { method: 'DELETE' }), 202, /./);
      const gone = await gateway.ask(statusUrl);
      assert.equal(gone.headers.get('x-export-status'), null);
      await assertOutcome(gone, 404, /./);
    });
  });

  describe('with partial manifests allowed', () => {
    const running = { state: 'running', transactionTime: stamp(1_700_000_000_007), progress: 0.5 } as const;
    const completed = { ...running, state: 'completed', endedAt: Date.now() } as const;
    const page = async (number: number, status: number): Promise<Manifest> => {
      const response = await gateway.ask(number === 1 ? statusUrl : `${statusUrl}?page=${String(number)}`);
      assert.equal(response.status, status);
      assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
      return (await response.json()) as Manifest;
    };
    beforeEach(() => kickOff('allowPartialManifests=true&_since=2020-01-01T00:00:00Z'));

    it('is 202 without a manifest until a page is full, then 202 with that page', async () => {
      gateway.jobs.set(jobId, { ...running, filesByTask: [filesOf(1, 19)] });
      const empty = await gateway.ask(statusUrl);
      assert.deepEqual([empty.status, await empty.text()], [202, '']);
      gateway.jobs.set(jobId, { filesByTask: [filesOf(1, 19), filesOf(2, 2)] });
      const response = await gateway.ask(statusUrl);
      assert.match(response.headers.get('x-progress') ?? '', /^50% /);
      assert.match(response.headers.get('retry-after') ?? '', /^\d+$/);
      assert.match(response.headers.get('expires') ?? '', / GMT$/);
      const manifest = await page(1, 202);
      assert.equal(manifest.output.length, 21);
      assert.equal(manifest.transactionTime, '2023-11-14T22:13:20.007Z');
      assert.equal(manifest.link, undefined);
    });

    it('has pages that only get a link, name each file once and repeat everything else', async () => {
      const tasks = [filesOf(1, 20), filesOf(2, 25), filesOf(3, 3)];
      gateway.jobs.set(jobId, { ...running, filesByTask: tasks.slice(0, 1) });
      const early = await page(1, 202);
      gateway.jobs.set(jobId, { filesByTask: tasks.slice(0, 2) });
      const later = await page(1, 202);
      assert.deepEqual(paths(later), paths(early));
      assert.deepEqual(later.link, [{ relation: 'next', url: `${statusUrl}?page=2` }]);
      gateway.jobs.set(jobId, { ...completed, filesByTask: tasks, files: tasks.flat() });
      const all = [await page(1, 200), await page(2, 200), await page(3, 200)];
      assert.deepEqual(
        all.map((manifest) => paths(manifest)),
        tasks.map((files) => files.map(({ key }) => key)),
      );
      for (const [i, { output, link, ...others }] of all.entries()) {
        assert.equal(link?.[0]?.url, i < 2 ? `${statusUrl}?page=${String(i + 2)}` : undefined);
        const { output: firstOutput, link: firstLink, ...first } = all[0] ?? assert.fail();
        assert.deepEqual(others, first);
        assert.ok(output.length > 0 && firstOutput.length > 0 && firstLink);
      }
    });

    it('has no page beyond the last: 202 while it may come, 404 after the end', async () => {
      gateway.jobs.set(jobId, { ...running, filesByTask: [filesOf(1, 20)] });
      assert.equal((await gateway.ask(`${statusUrl}?page=2`)).status, 202);
      gateway.jobs.set(jobId, completed);
      await assertOutcome(await gateway.ask(`${statusUrl}?page=2`), 404, /no such page/);
      for (const bad of ['0', '-1', '1.5', 'x', '', '1&page=2'])
        await assertOutcome(await gateway.ask(`${statusUrl}?page=${bad}`), 400, /page: .* is not a number/);
    });

    it('is 200 and X-Export-Status: 202 Accepted with the page, for those who want both', async () => {
      gateway.jobs.views.clear();
      await kickOff('allowPartialManifests=true', 'respond-async, separate-export-status');
      gateway.jobs.set(jobId, { ...running, filesByTask: [filesOf(1, 20)] });
      const response = await gateway.ask(statusUrl);
      assert.equal(response.headers.get('x-export-status'), '202 Accepted');
      assert.equal(((await response.json()) as Manifest).output.length, 20);
      assert.equal(response.status, 200);
    });

    it('never shows a page or a link to a client that did not allow them', async () => {
      gateway.jobs.views.clear();
      await kickOff('allowPartialManifests=false');
      const files = filesOf(1, 50);
      gateway.jobs.set(jobId, { ...running, filesByTask: [files], files });
      assert.equal(await (await gateway.ask(statusUrl)).text(), '');
      gateway.jobs.set(jobId, completed);
      const manifest = await page(1, 200);
      assert.deepEqual([manifest.output.length, 'link' in manifest], [50, false]);
    });
  });

  it('has no manifest type for output that is organized, whose files hold several types', async () => {
    statusUrl =
      (await gateway.ask('/fhir/Patient/$export?organizeOutputBy=Patient')).headers.get('content-location') ??
      '';
    ({ jobId } = gateway.jobs.only);
    const error = { ...filesOf(2, 1)[0], kind: 'error', type: 'OperationOutcome' } as ExportFile;
    const files = [...filesOf(1, 1), error];
    gateway.jobs.set(jobId, { state: 'completed', transactionTime: stamp(1), endedAt: Date.now(), files });
    const manifest = (await (await gateway.ask(statusUrl)).json()) as Manifest;
    assert.equal(manifest.outputOrganizedBy, 'Patient');
    assert.ok(manifest.output[0] && !('type' in manifest.output[0]));
    assert.equal(manifest.error[0]?.type, 'OperationOutcome');
  });
});
