import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FsStore } from '../../src/storage/fs-store.ts';
import { checkStorage, claimStorage, OWNER_KEY } from '../../src/storage/owner.ts';

describe('the owner of a store', () => {
  let root: string;
  const store = (): FsStore => new FsStore(join(root, 'files'));

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'headwater-owner-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  it('is the installation that claims it first, and may claim it again', async () => {
    await Promise.all(Array.from({ length: 8 }, () => claimStorage(store(), { name: 'a', id: '1' })));
    assert.deepEqual(await readdir(join(root, 'files')), [OWNER_KEY]);
    assert.deepEqual(JSON.parse(await readFile(join(root, 'files', OWNER_KEY), 'utf8')), {
      name: 'a',
      id: '1',
    });
    await checkStorage(store(), 'a');
  });

  it('is found without a right to write', async () => {
    await claimStorage(store(), { name: 'a', id: '1' });
    const readable = {
      roots: [''],
      claim: (key: string, text?: string): Promise<string> =>
        text === undefined ? store().claim(key) : Promise.reject(new Error('read-only')),
    };
    await claimStorage(readable, { name: 'a', id: '1' });
  });

  it('cannot be another installation, and the error names the owner', async () => {
    await claimStorage(store(), { name: 'a', id: '1' });
    const refused = { code: 'bad-config', message: /HEADWATER_STORAGE_URL belongs to the installation "a"/ };
    await assert.rejects(claimStorage(store(), { name: 'b', id: '2' }), refused);
    await assert.rejects(checkStorage(store(), 'b'), refused);
  });

  it('cannot be an installation of the same name with another database', async () => {
    await claimStorage(store(), { name: 'a', id: '1' });
    await assert.rejects(claimStorage(store(), { name: 'a', id: '2' }), {
      code: 'bad-config',
      message: /another database.*remove \.headwater-owner\.json/,
    });
  });

  it('is one of two installations that claim it at the same moment', async () => {
    const results = await Promise.allSettled(
      ['a', 'b'].map((name) => claimStorage(store(), { name, id: name })),
    );
    assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  });

  it('is unavailable to a process without the database until it is recorded', async () => {
    await assert.rejects(checkStorage(store(), 'a'), { code: 'unavailable' });
  });

  it('is an error when the object does not name one', async () => {
    await claimStorage(store(), { name: 'a', id: '1' });
    await writeFile(join(root, 'files', OWNER_KEY), 'null');
    await assert.rejects(claimStorage(store(), { name: 'a', id: '1' }), { code: 'bad-config' });
  });
});
