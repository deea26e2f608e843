import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHUNK_BYTES } from '../../src/files/chunk-pool.ts';
import { NdjsonFile } from '../../src/files/ndjson-file.ts';
import { FsStore } from '../../src/storage/fs-store.ts';
import type { ObjectWriter } from '../../src/storage/object-store.ts';

/** A store whose writes go wrong from the `good`-th on, as a full disk's do. */
class FullStore extends FsStore {
  readonly #good: number;

  constructor(root: string, good: number) {
    super(root);
    this.#good = good;
  }

  override async create(key: string): Promise<ObjectWriter> {
    const writer = await super.create(key);
    let writes = 0;
    return {
      write: (chunk) =>
        writes++ < this.#good ? writer.write(chunk) : Promise.reject(new Error('no space is left')),
      finish: () => writer.finish(),
      abort: () => writer.abort(),
    };
  }
}

const line = (i: number): Buffer => Buffer.from(JSON.stringify({ i, text: 'x'.repeat(CHUNK_BYTES / 3) }));

describe('an NDJSON file', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headwater-ndjson-'));
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it('holds its lines in order, whatever is written while the next are added, and knows their hash', async () => {
    const file = new NdjsonFile(new FsStore(folder), 'job/a.ndjson', false);
    const lines = Array.from({ length: 40 }, (_, i) => line(i));
    for (const one of lines) {
      file.line(one, 0, one.length);
      await file.drain();
    }
    const { count, bytes, sha256 } = await file.finish();
    const expected = Buffer.concat(lines.flatMap((one) => [one, Buffer.from('\n')]));
    const stored = await readFile(join(folder, 'job', 'a.ndjson'));
    assert.ok(stored.equals(expected));
    assert.deepEqual([count, bytes], [40, expected.length]);
    assert.equal(sha256, createHash('sha256').update(expected).digest('hex'));
  });

  for (const good of [0, 1, 2]) {
    it(`reports that write ${good + 1} failed, at the latest when it is finished, and leaves nothing`, async () => {
      const file = new NdjsonFile(new FullStore(folder, good), 'job/a.ndjson', false);
      const written = async (): Promise<void> => {
        for (let i = 0; i < 7; i++) {
          const one = line(i);
          file.line(one, 0, one.length);
          await file.drain();
        }
        await file.finish();
      };
      await assert.rejects(written, /no space/);
      await file.abort();
      assert.deepEqual(await readdir(join(folder, 'job')), []);
    });
  }
});
