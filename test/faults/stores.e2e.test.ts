import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import type { ReceivedManifest } from '../../src/client/received-manifest.ts';
import { storageSettings } from '../../src/config/settings.ts';
import { openStore } from '../../src/storage/open-store.ts';
import type { Store } from '../../src/storage/open-store.ts';
import { cancelExport } from '../../src/client/export-client.ts';
import { behindProxy } from '../support/fault-proxy.ts';
import type { ProxiedServer } from '../support/fault-proxy.ts';
import { azureServer, gcsServer, s3Server } from '../support/object-servers.ts';
import type { ObjectServer } from '../support/object-servers.ts';
import { sharedStack } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { Deployment } from './deployment.ts';
import {
  applied,
  assertChanges,
  assertSnapshot,
  download,
  exportNow,
  manifestOf,
  submit,
} from './exported.ts';
import { Fleet } from './fleet.ts';
import { jobOf } from './job-log.ts';
import { SourceWriter } from './source-writer.ts';

const KILLS = 3;
const CONTAINER = 'another-bucket';

for (const [name, start, layout] of [
  ['S3', s3Server, 'flat'],
  ['Google Cloud Storage', gcsServer, 'hive'],
  ['Azure Blob Storage', azureServer, 'flat'],
] as const) {
  describe(`export files in ${name}`, function () {
    this.timeout(300_000);
    let server: ObjectServer;
    let proxied: ProxiedServer;
    let headwater: Deployment;
    let writer: SourceWriter;
    let fleet: Fleet;
    let store: Store;

    before(async () => {
      server = await start();
      proxied = await behindProxy(server);
      await server.makeBucket(CONTAINER);
      headwater = await Deployment.create(sharedStack(), {
        ...proxied.settings,
        HEADWATER_STORAGE_URL: `${await server.makeBucket('exports')}/some/prefix`,
        HEADWATER_CONTAINERS: CONTAINER,
        HEADWATER_FILE_BYTES: '9MiB', // larger than a part
        HEADWATER_FILE_LAYOUT: layout,
        HEADWATER_REPLAY_THREADS: '2',
      });
      store = await openStore(storageSettings(headwater.settings));
      writer = await SourceWriter.create(headwater.databaseUrl);
      await writer.bulk('Observation', 'big-', 30_000);
      await writer.bulk('Patient', 'p', 10);
      fleet = new Fleet(headwater);
      fleet.start();
      await headwater.ready();
    });

    after(async () => {
      await writer?.close();
      await headwater?.remove();
      await proxied?.proxy.close();
      await server?.stop();
    });

    it('are exact, and come straight from the store by signed URLs', async () => {
      const statusUrl = await submit({ server: headwater.server });
      assert.equal(assertSnapshot(await download(statusUrl), writer.history), writer.history.length);
      const manifest = await manifestOf(statusUrl);
      const endpoint = Object.entries(proxied.settings).find(([key]) => key.endsWith('_ENDPOINT'))?.[1] ?? '';
      for (const { url } of manifest.output) assert.ok(url.startsWith(endpoint), url);
      const answer = await fetch(statusUrl);
      const expires = Date.parse(answer.headers.get('expires') ?? '');
      assert.ok(expires > Date.now() && expires <= Date.now() + headwater.settings.retentionMs);
      const again = (await answer.json()) as { output: { url: string }[] };
      assert.equal((await fetch(again.output[0]?.url ?? '')).status, 200, 'each reading signs again');
    });

    it('are complete for a tool that knows only the bucket, once the marker is there', async () => {
      const statusUrl = await submit({ server: headwater.server, types: ['Patient', 'Observation'] });
      const folder = await until('the marker', async () => {
        const found = (await Array.fromAsync(store.folders())).find((one) => one.endsWith(jobOf(statusUrl)));
        return found !== undefined && (await store.head(`${found}/_SUCCESS`)) ? found : undefined;
      });
      const { output } = JSON.parse(
        (await buffer(await store.read(`${folder}/manifest.json`))).toString(),
      ) as ReceivedManifest;
      const objects = (await Array.fromAsync(store.list(`${folder}/`))).map(({ key }) =>
        key.slice(folder.length + 1),
      );
      const named = output.map(({ url }) => url);
      assert.deepEqual(objects.sort(), [...named, '_SUCCESS', 'manifest.json'].sort());
      const parts = { flat: '', hive: 'type=(Patient|Observation)/' };
      for (const url of named)
        assert.match(url, new RegExp(`^${parts[layout]}(Patient|Observation)-\\d+\\.ndjson$`));
      for (const { url, extension } of output) {
        const bytes = await buffer(await store.read(`${folder}/${url}`));
        assert.equal(createHash('sha256').update(bytes).digest('hex'), extension?.sha256);
      }
    });

    it('go to the bucket that the client chooses', async () => {
      const answer = await fetch(`${headwater.server}/$export?_type=Patient&_container=${CONTAINER}`, {
        headers: { prefer: 'respond-async' },
      });
      assert.equal(answer.status, 202, await answer.text());
      const statusUrl = answer.headers.get('content-location') ?? '';
      assert.equal((await download(statusUrl)).output.size, 10);
      const folders = await Array.fromAsync(store.folders(CONTAINER));
      assert.deepEqual(
        folders.filter((folder) => folder.endsWith(jobOf(statusUrl))),
        folders,
      );
      assert.equal(folders.length, 1);
    });

    it('are removed when the export is cancelled, in whatever bucket', async () => {
      const statusUrl = await submit({ server: headwater.server });
      await manifestOf(statusUrl);
      await cancelExport(statusUrl);
      await until('its files to be gone', async () => !(await foldersOf(statusUrl)));
    });

    it(`are exact after ${KILLS} kills of a worker that uploads, and leave nothing behind`, async () => {
      const jobs: string[] = [];
      for (let n = 0; n < KILLS; n++) {
        const statusUrl = await submit({ server: headwater.server });
        jobs.push(statusUrl);
        await until('uploads to begin', () => foldersOf(statusUrl), { everyMs: 5 });
        await fleet.kill('worker');
        fleet.start('worker');
        assert.equal(assertSnapshot(await download(statusUrl), writer.history), writer.history.length);
      }
      const keys = await Promise.all(jobs.map(async (url) => (await manifestOf(url)).output.length));
      assert.ok(keys.every((count) => count === keys[0]));
      for (const url of jobs) await cancelExport(url);
      await until(
        'all folders to be gone',
        async () => !(await Promise.all(jobs.map(foldersOf))).some(Boolean),
      );
    });

    it('are exact when the store is away in the middle, and the export does not fail', async () => {
      const before = await exportNow({ server: headwater.server });
      const at = assertSnapshot(before, writer.history);
      await writer.bulk('Observation', 'big-', 30_000);
      const statusUrl = await submit({ server: headwater.server, since: before.transactionTime });
      await until('uploads to begin', () => foldersOf(statusUrl), { everyMs: 5 });
      await server.process.end();
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      await server.process.restart();
      const next = await download(statusUrl);
      assertChanges(next, writer.history, at);
      assert.equal(applied(before.output, next).size, before.output.size);
    });

    if (name === 'S3')
      it('are exact when the store answers 503 for 30 s, and the export does not fail', async () => {
        const statusUrl = await submit({ server: headwater.server });
        await until('uploads to begin', () => foldersOf(statusUrl), { everyMs: 5 });
        proxied.proxy.inject({ type: 'answer', status: 503 }, { forMs: 30_000 });
        assert.equal(assertSnapshot(await download(statusUrl), writer.history), writer.history.length);
        await cancelExport(statusUrl);
        await until('its files to be gone', async () => !(await foldersOf(statusUrl)));
      });

    async function foldersOf(statusUrl: string): Promise<boolean> {
      const folders = await Array.fromAsync(store.folders());
      return folders.some((folder) => folder.endsWith(jobOf(statusUrl)));
    }
  });
}
