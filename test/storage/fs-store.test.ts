import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseSettings, storageSettings } from '../../src/config/settings.ts';
import { FsStore } from '../../src/storage/fs-store.ts';
import { openStore } from '../../src/storage/open-store.ts';
import { objectStoreContract } from '../contract/object-store.ts';

objectStoreContract('fs', async () => {
  const root = await mkdtemp(join(tmpdir(), 'headwater-store-'));
  // A root that does not exist yet: a fresh installation.
  return {
    store: new FsStore(join(root, 'files')),
    remove: () => rm(root, { recursive: true, force: true }),
  };
});

describe('the store on a directory', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'headwater-store-'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it('has only hidden files while it writes, and none after that', async () => {
    const writer = await new FsStore(root).create('job/a');
    await writer.write(Buffer.from('x'));
    const [hidden, ...others] = await readdir(join(root, 'job'));
    assert.ok(hidden?.startsWith('.'));
    assert.deepEqual(others, []);
    await writer.finish();
    assert.deepEqual(await readdir(join(root, 'job')), ['a']);
  });

  it('begins a file while its folder is removed repeatedly', async () => {
    const store = new FsStore(root);
    let done = false;
    const sweeping = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (!done) await store.deletePrefix('job/');
      }),
    );
    try {
      for (let n = 0; n < 500; n++) await (await store.create('job/a')).abort();
    } finally {
      done = true;
      await sweeping;
    }
  });

  it('has nothing below an object', async () => {
    const store = new FsStore(root);
    await (await store.create('job/a')).finish();
    assert.equal(await store.head('job/a/b'), undefined);
    await assert.rejects(store.read('job/a/b'), { code: 'not-found' });
  });

  it('opens by its URL', async () => {
    const settings = storageSettings(parseSettings({ HEADWATER_STORAGE_URL: pathToFileURL(root).href }, []));
    const writer = await (await openStore(settings)).create('job/a', 'text/plain');
    await writer.finish();
    assert.deepEqual(await readdir(join(root, 'job')), ['a']);
  });
});
