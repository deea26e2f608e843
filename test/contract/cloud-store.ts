import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { randomBytes } from 'node:crypto';
import { parseSettings, storageSettings } from '../../src/config/settings.ts';
import type { StorageSettings } from '../../src/config/settings.ts';
import { checkStore } from '../../src/storage/storage-check.ts';
import { openStore } from '../../src/storage/open-store.ts';
import type { Store } from '../../src/storage/open-store.ts';
import type { ObjectServer } from '../support/object-servers.ts';
import { objectStoreContract } from './object-store.ts';
import type { StoreKind } from './object-store.ts';

const NDJSON = 'application/fhir+ndjson';
const HOUR = 3_600_000;

export interface CloudStore {
  readonly start: () => Promise<ObjectServer>;
  readonly kind: StoreKind;
  /** A signed URL with a later end. */
  readonly extended: (url: URL) => void;
  /** What a store says of wrong credentials: the settings that name them, and what its error must name. */
  readonly wrongCredentials: Readonly<Record<string, string>>;
  readonly namesCredentials: RegExp;
}

/** Every store in the cloud: the contract of all stores, and URLs that let their holder read one object. */
export function cloudStoreContract(name: string, cloud: CloudStore): void {
  describe(`store in the cloud: ${name}`, function () {
    this.timeout(120_000);
    let server: ObjectServer;
    let n = 0;

    before(async () => {
      server = await cloud.start();
    });
    after(() => server.stop());

    const bucket = (): Promise<string> => server.makeBucket(`bucket-${++n}`);

    function settingsFor(url: string, others: Readonly<Record<string, string>> = {}): StorageSettings {
      const env = { ...server.settings, HEADWATER_STORAGE_URL: url, ...others };
      return storageSettings(parseSettings(env, []));
    }

    const open = (url: string, others?: Readonly<Record<string, string>>): Promise<Store> =>
      openStore(settingsFor(url, others));

    async function stored(url: string, key: string, bytes: Buffer): Promise<Store> {
      const store = await open(url);
      const writer = await store.create(key, NDJSON);
      await writer.write(bytes);
      await writer.finish();
      return store;
    }

    async function signed(store: Store, key: string, ms = HOUR): Promise<string> {
      const download = { expiresAt: Date.now() + ms, contentType: NDJSON, fileName: 'name.ndjson' };
      const result = await store.downloadUrl(key, download);
      assert.ok(result);
      return result.url;
    }

    objectStoreContract(
      name,
      async () => {
        const [first, second] = [await bucket(), await bucket()];
        const containers = second.split('/').at(-1) ?? '';
        const store = await open(`${first}/some/prefix`, { HEADWATER_CONTAINERS: containers });
        return { store, remove: () => Promise.resolve() };
      },
      cloud.kind,
    );

    it('keeps objects in the bucket that a key names, and lists all of them', async () => {
      const [first, second] = [await bucket(), await bucket()];
      const container = second.split('/').at(-1) ?? '';
      const store = await open(`${first}/p`, { HEADWATER_CONTAINERS: container });
      for (const key of ['job/a', `${container}/job2/b`]) {
        const writer = await store.create(key, NDJSON);
        await writer.write(Buffer.from(key));
        await writer.finish();
      }
      const there = await open(`${second}/p`);
      assert.equal((await buffer(await there.read('job2/b'))).toString(), `${container}/job2/b`);
      const all = [];
      for await (const { key } of store.list('')) all.push(key);
      assert.deepEqual(all.sort(), [`${container}/job2/b`, 'job/a'].sort());
      const folders = [];
      for await (const folder of store.folders(container)) folders.push(folder);
      assert.deepEqual(folders, [`${container}/job2`]);
      await store.deletePrefix(`${container}/job2/`);
      assert.equal(await there.head('job2/b'), undefined);
    });

    it('lists and deletes over several pages', async function () {
      this.timeout(300_000);
      const store = await open(await bucket());
      const names = Array.from({ length: 1_100 }, (_, i) => `job/${String(i).padStart(4, '0')}`);
      for (let from = 0; from < names.length; from += 50)
        await Promise.all(
          names.slice(from, from + 50).map(async (key) => (await store.create(key, NDJSON)).finish()),
        );
      const found = [];
      for await (const { key } of store.list('job/')) found.push(key);
      assert.deepEqual(found, names);
      await store.deletePrefix('job/');
      for await (const { key } of store.list('')) assert.fail(`${key} is still there`);
    });

    it('lets the holder of a URL read one object, with its type and name', async () => {
      const bytes = randomBytes(100_000);
      const store = await stored(await bucket(), 'job/a', bytes);
      const answer = await fetch(await signed(store, 'job/a'));
      assert.equal(answer.status, 200);
      assert.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes));
      assert.equal(answer.headers.get('content-type'), NDJSON);
      assert.equal(answer.headers.get('content-disposition'), 'attachment; filename="name.ndjson"');
      const part = await fetch(await signed(store, 'job/a'), { headers: { range: 'bytes=10-19' } });
      assert.equal(part.status, 206);
      assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20)));
    });

    it('refuses a URL that is unsigned, altered, extended, expired, or used for another object or method', async () => {
      const url = await bucket();
      const store = await stored(url, 'job/a', Buffer.from('a'));
      await stored(url, 'job/b', Buffer.from('b'));
      const good = await signed(store, 'job/a');
      const short = await signed(store, 'job/a', 2_000);
      assert.equal((await fetch(good)).status, 200);
      assert.equal((await fetch(short)).status, 200);
      const changed = (change: (url: URL) => void): string => {
        const copy = new URL(good);
        change(copy);
        assert.notEqual(copy.href, good);
        return copy.href;
      };
      const bad: Record<string, Response> = {
        unsigned: await fetch(changed((one) => (one.search = ''))),
        'tampered with': await fetch(
          changed((one) => {
            const [key = ''] = [...one.searchParams.keys()].filter((name) => /^sig$|signature/i.test(name));
            const value = one.searchParams.get(key) ?? '';
            one.searchParams.set(key, (value.startsWith('0') ? '1' : '0') + value.slice(1));
          }),
        ),
        extended: await fetch(changed(cloud.extended)),
        'for another object': await fetch(changed((one) => (one.pathname = one.pathname.replace(/a$/, 'b')))),
        'used to write': await fetch(good, {
          method: 'PUT',
          body: 'x',
          headers: { 'x-ms-blob-type': 'BlockBlob' },
        }),
        'used to delete': await fetch(good, { method: 'DELETE' }),
      };
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      bad['expired'] = await fetch(short);
      for (const [what, { status }] of Object.entries(bad))
        assert.ok(status >= 400 && status < 500, `${what}: ${status}`);
      assert.equal((await fetch(good)).status, 200);
    });

    it('never signs for longer than wanted, and says until when', async () => {
      const store = await stored(await bucket(), 'job/a', Buffer.from('a'));
      const wanted = Date.now() + HOUR;
      const download = { expiresAt: wanted, contentType: NDJSON, fileName: 'a' };
      const { expiresAt = 0 } = (await store.downloadUrl('job/a', download)) ?? {};
      assert.ok(expiresAt <= wanted && expiresAt > wanted - 2_000, String(expiresAt - wanted));
    });

    it('names the setting and the step when there is no bucket', async () => {
      const url = (await bucket()).replace(/bucket-\d+/, 'never-made');
      const store = await open(url);
      const expected = { code: 'bad-config', message: /^cannot \w+ .*never-made.*HEADWATER_STORAGE_URL/ };
      await assert.rejects(store.claim('.headwater-owner.json'), expected);
      await assert.rejects(async () => (await store.create('job/a', NDJSON)).finish(), expected);
      await assert.rejects(async () => {
        for await (const _ of store.list('')) break;
      }, expected);
    });

    it('names the setting and the step when the credentials are wrong', async () => {
      const store = await open(await bucket(), cloud.wrongCredentials);
      const expected = { code: 'refused', message: cloud.namesCredentials };
      await assert.rejects(store.claim('.headwater-owner.json'), expected);
      await assert.rejects(async () => (await store.create('job/a', NDJSON)).finish(), expected);
    });

    it('is checked in every bucket, step by step, and nothing remains', async () => {
      const [first, second] = [await bucket(), await bucket()];
      const HEADWATER_CONTAINERS = second.split('/').at(-1) ?? '';
      const settings = settingsFor(first, { HEADWATER_CONTAINERS });
      const { status, identity } = await checkStore(settings);
      assert.deepEqual([status, identity], ['ok', 'stored credentials']);
      for (const url of [first, second])
        assert.deepEqual(await Array.fromAsync((await open(url)).list('')), []);
      const { step, bucket: where, reason } = await checkStore({ ...settings, containers: ['never-made'] });
      assert.deepEqual([step, where], ['write', 'never-made']);
      assert.match(reason ?? '', /there is no (?:bucket|container) "never-made"/);
      const refused = await checkStore(settingsFor(first, cloud.wrongCredentials));
      assert.deepEqual([refused.status, refused.step], ['failed', 'write']);
      assert.match(refused.reason ?? '', cloud.namesCredentials);
    });

    it('is unavailable while its server is away, and goes on when that is back', async () => {
      const store = await stored(await bucket(), 'job/a', Buffer.from('a'));
      await server.process.end();
      await assert.rejects(store.claim('.headwater-owner.json'), { code: 'unavailable' });
      await server.process.restart();
      assert.equal((await buffer(await store.read('job/a'))).toString(), 'a');
    });
  });
}
