import { randomUUID } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { Readable } from 'node:stream';
import { checkFolder, checkKey, checkPrefix, KEY, noObject, removedMeanwhile } from './object-key.ts';
import { COMPLETION_MARKER } from './object-store.ts';
import type { ByteRange, ClaimableStore, ObjectInfo, ObjectStore, ObjectWriter } from './object-store.ts';

const MAX_TRIES = 100;

/**
 * Stores objects as files in one directory, on a local disk or on one that all workers and gateways share.
 * Invariant: a file under its own name is whole and on the disk. While it is written, it has a unique hidden name in the same
 * folder, so two writers of one key do not disturb each other. A crash leaves hidden files, which are removed with their folder.
 */
export class FsStore implements ObjectStore, ClaimableStore {
  readonly roots = [''];
  readonly #root: string;
  readonly #newId: () => string;

  constructor(root: string, newId: () => string = randomUUID) {
    this.#root = root;
    this.#newId = newId;
  }

  async create(key: string): Promise<ObjectWriter> {
    const path = this.#path(key);
    const part = join(dirname(path), `.${basename(path)}.${this.#newId()}`);
    for (let tries = 1; ; tries++) {
      try {
        await mkdir(dirname(path), { recursive: true });
        return new FsWriter(key, path, part, await open(part, 'wx'));
      } catch (error) {
        // A sweep may remove the folder before the file is created.
        if (!isMissing(error) || tries === MAX_TRIES) throw error;
      }
    }
  }

  async read(key: string, range?: ByteRange): Promise<Readable> {
    const path = this.#path(key);
    if ((await this.head(key)) === undefined) throw noObject(key);
    if (range && range.end <= range.start) return Readable.from([]);
    const file = await open(path).catch((error: unknown) => {
      throw isMissing(error) ? noObject(key) : error;
    });
    return file.createReadStream({
      highWaterMark: 256 * 1024,
      ...(range && { start: range.start, end: range.end - 1 }),
    });
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    return infoOf(key, this.#path(key));
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    const folder = checkPrefix(prefix).slice(0, prefix.lastIndexOf('/') + 1);
    for await (const key of this.#keys(folder)) {
      const info = key.startsWith(prefix) ? await infoOf(key, this.#path(key)) : undefined;
      if (info) yield info;
    }
  }

  async deletePrefix(prefix: string): Promise<void> {
    const path = this.#path(checkFolder(prefix).slice(0, -1));
    await rm(join(path, COMPLETION_MARKER), { force: true }); // a folder without it is not complete
    // A worker may still write there. The next try removes what it writes meanwhile.
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }

  async claim(key: string, text?: string): Promise<string> {
    const path = join(this.#root, basename(key));
    if (text !== undefined) {
      await mkdir(this.#root, { recursive: true });
      const part = `${path}.${this.#newId()}`;
      await writeFile(part, text, { flush: true });
      try {
        await link(part, path); // atomic; fails if the object exists
        await syncFolder(this.#root);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      } finally {
        await rm(part, { force: true });
      }
    }
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (isMissing(error)) return '';
      throw error;
    }
  }

  async *folders(parent?: string): AsyncIterable<string> {
    for (const entry of await entriesOf(parent === undefined ? this.#root : this.#path(parent))) {
      if (entry.isDirectory() && KEY.test(entry.name))
        yield parent === undefined ? entry.name : `${parent}/${entry.name}`;
    }
  }

  /** A directory has no URLs: the gateway serves the files. */
  downloadUrl(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async *#keys(folder: string): AsyncGenerator<string> {
    for (const entry of await entriesOf(join(this.#root, folder))) {
      if (!KEY.test(entry.name)) continue;
      if (entry.isDirectory()) yield* this.#keys(`${folder}${entry.name}/`);
      else yield folder + entry.name;
    }
  }

  #path(key: string): string {
    return join(this.#root, checkKey(key).replaceAll('/', sep));
  }
}

class FsWriter implements ObjectWriter {
  readonly #key: string;
  readonly #path: string;
  readonly #part: string;
  readonly #file: FileHandle;

  constructor(key: string, path: string, part: string, file: FileHandle) {
    this.#key = key;
    this.#path = path;
    this.#part = part;
    this.#file = file;
  }

  async write(chunk: Uint8Array): Promise<void> {
    let done = 0;
    while (done < chunk.length) done += (await this.#file.write(chunk, done)).bytesWritten;
  }

  async finish(): Promise<void> {
    // The log will record that the file exists, so it must survive a power failure.
    await this.#file.datasync();
    await this.#file.close();
    try {
      await rename(this.#part, this.#path);
    } catch (error) {
      throw isMissing(error) ? removedMeanwhile(this.#key) : error;
    }
    await syncFolder(dirname(this.#path));
  }

  async abort(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await rm(this.#part, { force: true }).catch(() => undefined);
  }
}

/** Makes the new name durable. Some systems cannot open a folder; there the name becomes durable a moment later. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path).catch(() => undefined);
  if (!folder) return;
  await folder.sync().catch(() => undefined);
  await folder.close();
}

async function infoOf(key: string, path: string): Promise<ObjectInfo | undefined> {
  try {
    const stats = await stat(path);
    return stats.isFile() ? { key, bytes: stats.size, modifiedAt: Math.floor(stats.mtimeMs) } : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function entriesOf(path: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
