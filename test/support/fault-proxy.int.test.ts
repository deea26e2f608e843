import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { parseSettings, storageSettings } from '../../src/config/settings.ts';
import { openStore } from '../../src/storage/open-store.ts';
import type { Store } from '../../src/storage/open-store.ts';
import { behindProxy } from './fault-proxy.ts';
import type { ProxiedServer } from './fault-proxy.ts';
import { uniqueName } from './names.ts';
import { azureServer, gcsServer, s3Server } from './object-servers.ts';
import type { ObjectServer } from './object-servers.ts';

const NDJSON = 'application/fhir+ndjson';

/** Statuses by which the store asks its clients to send less, and after which its SDK tries again. Azure answers 503 only. */
const BUSY = [503, 429];

for (const [name, start, busy] of [
  ['S3', s3Server, BUSY],
  ['Azure Blob Storage', azureServer, [503]],
  ['Google Cloud Storage', gcsServer, BUSY],
] as const)
  describe(`fault proxy before a store: ${name}`, function () {
    this.timeout(120_000);
    const small = randomBytes(100_000);
    const large = randomBytes(20_000_000);
    let server: ObjectServer;
    let proxied: ProxiedServer;
    let store: Store;

    before(async () => {
      server = await start();
      proxied = await behindProxy(server);
    });
    beforeEach(async () => {
      const url = await server.makeBucket(uniqueName('bucket'));
      const env = { ...proxied.settings, HEADWATER_STORAGE_URL: `${url}/prefix` };
      store = await openStore(storageSettings(parseSettings(env, [])));
    });
    afterEach(() => proxied.proxy.clear());
    after(async () => {
      await proxied.proxy.close();
      await server.stop();
    });

    async function put(key: string, bytes: Buffer): Promise<void> {
      const writer = await store.create(key, NDJSON);
      for (let from = 0; from < bytes.length; from += 1_000_000)
        await writer.write(bytes.subarray(from, from + 1_000_000));
      await writer.finish();
    }
    const get = async (key: string): Promise<Buffer> => buffer(await store.read(key));

    it('passes on uploads, downloads, lists and deletions', async () => {
      await put('job/large', large);
      await put('job/small', small);
      assert.ok((await get('job/large')).equals(large));
      const keys = [];
      for await (const { key } of store.list('job/')) keys.push(key);
      assert.deepEqual(keys, ['job/large', 'job/small']);
      await store.deletePrefix('job/');
      assert.equal(await store.head('job/small'), undefined);
    });

    it('passes on signed URLs, which the server still verifies', async () => {
      await put('job/small', small);
      const download = { expiresAt: Date.now() + 60_000, contentType: NDJSON, fileName: 'a' };
      const { url = '' } = (await store.downloadUrl('job/small', download)) ?? {};
      assert.equal(new URL(url).origin, new URL(proxied.proxy.url).origin);
      const answer = await fetch(url);
      assert.equal(answer.status, 200);
      assert.ok(Buffer.from(await answer.arrayBuffer()).equals(small));
      const unsigned = new URL(url);
      unsigned.search = '';
      const { status } = await fetch(unsigned);
      assert.ok(status >= 400 && status < 500, String(status));
    });

    for (const fault of [
      ...busy.map((status) => ({ type: 'answer', status }) as const),
      { type: 'reset' } as const,
      { type: 'cut-upload', afterBytes: 10_000_000 } as const,
    ])
      it(`hits an upload that the store sends again: ${Object.values(fault).join(' ')}`, async () => {
        const injected = proxied.proxy.inject(fault, { times: 1 });
        await put('job/large', large);
        assert.equal(injected.hits, 1);
        assert.ok((await get('job/large')).equals(large));
      });

    it('loses the answer to the request that ends an upload, and the object is there', async () => {
      const last = (request: IncomingMessage): boolean =>
        (request.method === 'POST' && /[?&]uploadId=/.test(request.url ?? '')) || // S3
        /comp=blocklist/.test(request.url ?? '') || // Azure
        /-19999999\/20000000$/.test(request.headers['content-range'] ?? ''); // Google
      const lost = proxied.proxy.inject({ type: 'lose-answer' }, { times: 1, only: last });
      await put('job/large', large).catch(async (error: unknown) => {
        // Google's SDK does not see that the object is there. The work queue repeats the task.
        assert.equal((error as { code?: unknown }).code, 'unavailable');
        assert.equal(name, 'Google Cloud Storage');
        await put('job/large', large);
      });
      assert.equal(lost.hits, 1);
      assert.ok((await get('job/large')).equals(large));
    });

    it('cuts a download, which fails and does not end early', async () => {
      await put('job/large', large);
      const injected = proxied.proxy.inject({ type: 'cut-download', afterBytes: 5_000_000 }, { times: 1 });
      await assert.rejects(get('job/large'));
      assert.equal(injected.hits, 1);
      assert.ok((await get('job/large')).equals(large));
    });
  });
