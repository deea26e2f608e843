import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { HeadwaterError } from '../../src/base/errors.ts';
import { until } from '../support/until.ts';
import type { ClaimableStore, ObjectStore, ObjectWriter } from '../../src/storage/object-store.ts';

/** A store that is empty at the beginning, and how to remove it. */
export interface StoreUnderTest {
  readonly store: ObjectStore & ClaimableStore;
  remove(): Promise<void>;
}

/** What is different from store to store. */
export interface StoreKind {
  /** Bytes from which an unfinished object is visible in its folder; undefined if the store never shows unfinished objects. */
  readonly showsUnfinishedFrom?: number;
  /** Two writers of one key must write the same bytes. */
  readonly sameBytesOnly?: boolean;
}

const NDJSON = 'application/fhir+ndjson';

/** What every object store must do. */
export function objectStoreContract(
  name: string,
  open: () => Promise<StoreUnderTest>,
  { showsUnfinishedFrom, sameBytesOnly = false }: StoreKind = { showsUnfinishedFrom: 1 },
): void {
  describe(`object store: ${name}`, function () {
    this.timeout(60_000);
    let store: ObjectStore & ClaimableStore;
    let remove: () => Promise<void>;

    beforeEach(async () => {
      ({ store, remove } = await open());
    });
    afterEach(() => remove());

    async function put(key: string, ...chunks: readonly string[]): Promise<void> {
      const writer = await store.create(key, NDJSON);
      for (const chunk of chunks) await writer.write(Buffer.from(chunk));
      await writer.finish();
    }
    const get = async (key: string): Promise<string> => (await buffer(await store.read(key))).toString();
    const keys = async (prefix: string): Promise<string[]> =>
      (await collect(store.list(prefix))).map((info) => info.key).sort();
    const folders = async (): Promise<string[]> => (await collect(store.folders())).sort();

    it('returns the bytes that were written, with their size', async () => {
      await put('job/a.ndjson', 'one\n', 'two\n');
      assert.equal(await get('job/a.ndjson'), 'one\ntwo\n');
      const info = await store.head('job/a.ndjson');
      assert.equal(info?.bytes, 8);
      assert.equal(info.key, 'job/a.ndjson');
      assert.ok(Math.abs(Date.now() - info.modifiedAt) < 600_000);
    });

    it('shows nothing of an object before it is finished', async () => {
      const writer = await store.create('job/a', NDJSON);
      await writer.write(randomBytes(200_000));
      assert.equal(await store.head('job/a'), undefined);
      assert.deepEqual(await keys(''), []);
      await assert.rejects(store.read('job/a'), isNotFound);
      await writer.finish();
      assert.equal((await store.head('job/a'))?.bytes, 200_000);
    });

    it('leaves nothing when a writer aborts, and keeps the earlier object', async () => {
      await put('job/a', 'old');
      for (const key of ['job/a', 'job/b']) {
        const writer = await store.create(key, NDJSON);
        await writer.write(Buffer.from('new'));
        await writer.abort();
        await writer.abort();
      }
      assert.equal(await get('job/a'), 'old');
      assert.deepEqual(await keys(''), ['job/a']);
    });

    it('replaces an object under the same key as a whole', async () => {
      await put('job/a', 'a long first version');
      await put('job/a', 'short');
      assert.equal(await get('job/a'), 'short');
      assert.deepEqual(await keys('job/'), ['job/a']);
    });

    it('takes the same bytes under the same key from two writers at a time', async () => {
      const bytes = randomBytes(9_000_000);
      const writers = await Promise.all([store.create('job/a', NDJSON), store.create('job/a', NDJSON)]);
      await Promise.all(writers.map((writer) => writer.write(bytes)));
      for (const writer of writers) await writer.finish();
      assert.ok((await buffer(await store.read('job/a'))).equals(bytes));
    });

    it('keeps two writers of the same key apart', async function () {
      if (sameBytesOnly) return;
      const [one, two] = await Promise.all([store.create('job/a', NDJSON), store.create('job/a', NDJSON)]);
      for (let i = 0; i < 50; i++)
        await Promise.all([
          one.write(Buffer.from('1'.repeat(999))),
          two.write(Buffer.from('2'.repeat(1001))),
        ]);
      await one.finish();
      assert.equal(await get('job/a'), '1'.repeat(49_950));
      await two.finish();
      assert.equal(await get('job/a'), '2'.repeat(50_050));
    });

    it('holds one whole version for every order in which writers finish', async () => {
      if (sameBytesOnly) return;
      const versions = Array.from({ length: 8 }, (_, i) => String(i).repeat(10_000 + i));
      await Promise.all(versions.map((version) => put('job/a', version)));
      assert.ok(versions.includes(await get('job/a')));
    });

    it('lets a reader finish the version that it opened', async () => {
      const old = randomBytes(3_000_000);
      const writer = await store.create('job/a', NDJSON);
      await writer.write(old);
      await writer.finish();
      const reading = await store.read('job/a');
      await put('job/a', 'new');
      assert.ok((await buffer(reading)).equals(old));
    });

    it('reads any half-open range', async () => {
      const bytes = randomBytes(5_000);
      const writer = await store.create('job/a', NDJSON);
      await writer.write(bytes);
      await writer.finish();
      const place = fc.integer({ min: 0, max: bytes.length });
      await fc.assert(
        fc.asyncProperty(place, place, async (a, b) => {
          const range = { start: Math.min(a, b), end: Math.max(a, b) };
          const read = await buffer(await store.read('job/a', range));
          assert.ok(read.equals(bytes.subarray(range.start, range.end)));
        }),
        { numRuns: 50 },
      );
      assert.equal((await buffer(await store.read('job/a', { start: 4_990, end: 9_999 }))).length, 10);
    });

    it('holds empty objects', async () => {
      await put('job/empty');
      assert.equal((await store.head('job/empty'))?.bytes, 0);
      assert.equal(await get('job/empty'), '');
    });

    it('throws not-found for a missing object', async () => {
      await put('job/a', 'x');
      for (const key of ['nothing', 'job/nothing', 'other/a', 'job']) {
        assert.equal(await store.head(key), undefined, key);
        await assert.rejects(store.read(key), isNotFound, key);
      }
    });

    it('lists by prefix, into folders', async () => {
      for (const key of ['one/a', 'one/b', 'one/deep/c', 'one-more/a', 'two/a']) await put(key, 'x');
      assert.deepEqual(await keys('one/'), ['one/a', 'one/b', 'one/deep/c']);
      assert.deepEqual(await keys('one'), ['one-more/a', 'one/a', 'one/b', 'one/deep/c']);
      assert.deepEqual(await keys('none/'), []);
      assert.equal((await keys('')).length, 5);
    });

    it('removes a folder with everything in it, finished or not, and nothing else', async () => {
      for (const key of ['one/a', 'one/deep/c', 'one-more/a']) await put(key, 'x');
      const unfinished = await store.create('one/b', NDJSON);
      await unfinished.write(randomBytes(showsUnfinishedFrom ?? 1));
      await store.deletePrefix('one/');
      await store.deletePrefix('one/');
      await store.deletePrefix('never/');
      assert.deepEqual(await keys(''), ['one-more/a']);
      await unfinished.abort(); // then no part is on its way
      await store.deletePrefix('one/');
      assert.deepEqual(await folders(), ['one-more']);
    });

    if (showsUnfinishedFrom !== undefined) {
      it('does not bring a removed folder back when a writer in it finishes', async () => {
        const writer = await begun('one/a', showsUnfinishedFrom);
        await store.deletePrefix('one/');
        await assert.rejects(writer.finish(), isNotFound);
        await writer.abort();
        assert.deepEqual(await keys(''), []);
        await store.deletePrefix('one/'); // parts that were on their way
        assert.deepEqual(await folders(), []);
      });

      it('names folders that hold unfinished objects only', async () => {
        await put('done/a', 'x');
        const writer = await begun('begun/a', showsUnfinishedFrom);
        assert.deepEqual(await folders(), ['begun', 'done']);
        await writer.abort();
      });
    }

    /** Resolves when the store shows the unfinished object. */
    async function begun(key: string, bytes: number): Promise<ObjectWriter> {
      const writer = await store.create(key, NDJSON);
      await writer.write(randomBytes(bytes));
      await until(`${key} to begin`, async () => (await folders()).includes(key.split('/')[0] ?? ''));
      return writer;
    }

    it('records one owner in each root, once', async () => {
      for (const root of store.roots) {
        const key = `${root}.headwater-owner.json`;
        assert.equal(await store.claim(key), '');
        const claims = await Promise.all(['a', 'b', 'c'].map((text) => store.claim(key, text)));
        assert.equal(new Set(claims).size, 1, 'all see the same owner');
        assert.equal(await store.claim(key), claims[0]);
      }
      assert.deepEqual(await keys(''), []);
      assert.deepEqual(await folders(), []);
    });

    it('refuses keys that are not plain relative names', async () => {
      const bad = [
        '',
        '/a',
        'a/',
        'a//b',
        '..',
        '../a',
        'a/../b',
        'a/./b',
        '.hidden',
        'a/.b',
        'a\\b',
        'a\0',
        'a b',
        'ä',
      ];
      for (const key of bad) {
        await assert.rejects(store.create(key, NDJSON), isBadRequest, key);
        await assert.rejects(store.read(key), isBadRequest, key);
        await assert.rejects(store.head(key), isBadRequest, key);
      }
      for (const prefix of ['', '/', './', '../', 'a', 'a/../'])
        await assert.rejects(store.deletePrefix(prefix), isBadRequest, prefix);
    });

    it('streams a large object with bounded memory', async function () {
      this.timeout(60_000);
      const chunk = randomBytes(1 << 20);
      const chunks = 200;
      const before = process.memoryUsage().rss;
      let peak = before;
      const watch = (): void => {
        peak = Math.max(peak, process.memoryUsage().rss);
      };
      const written = createHash('sha256');
      const writer = await store.create('job/large', NDJSON);
      for (let i = 0; i < chunks; i++) {
        written.update(chunk);
        await writer.write(chunk);
        watch();
      }
      await writer.finish();
      const read = createHash('sha256');
      for await (const piece of await store.read('job/large')) {
        read.update(piece as Buffer);
        watch();
      }
      assert.equal(read.digest('hex'), written.digest('hex'));
      assert.ok(peak - before < 100 << 20, `grew by ${String((peak - before) >> 20)} MiB`);
    });
  });
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const isNotFound = (error: unknown): boolean => error instanceof HeadwaterError && error.code === 'not-found';
const isBadRequest = (error: unknown): boolean =>
  error instanceof HeadwaterError && error.code === 'bad-request';
