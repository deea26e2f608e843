import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseSettings, storageSettings } from '../../src/config/settings.ts';
import { checkStore } from '../../src/storage/storage-check.ts';
import type { StorageReport } from '../../src/storage/storage-check.ts';

describe('the check of a store on a directory', () => {
  let root: string;
  const check = (directory: string): Promise<StorageReport> =>
    checkStore(storageSettings(parseSettings({ HEADWATER_STORAGE_URL: pathToFileURL(directory).href }, [])));

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'headwater-check-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  it('writes, reads and deletes, and leaves nothing', async () => {
    assert.deepEqual(await check(root), { status: 'ok', type: 'fs', bucket: root, identity: 'none' });
    assert.deepEqual(await readdir(root), []);
  });

  it('names the step that fails, and why', async () => {
    const file = join(root, 'file');
    await writeFile(file, '');
    const { status, step, reason } = await check(file);
    assert.deepEqual([status, step], ['failed', 'write']);
    assert.match(reason ?? '', /ENOTDIR/);
  });
});
