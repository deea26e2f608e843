import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { backoff, sleep } from '../base/clock.ts';
import { HeadwaterError, isAbort } from '../base/errors.ts';
import { ask, errorOf } from './http-client.ts';
import type { TokenSource } from './http-client.ts';
import type { ReceivedFile, ReceivedManifest } from './received-manifest.ts';

/** A downloaded file that is as the manifest says. */
export interface DownloadedFile {
  readonly kind: 'output' | 'deleted' | 'error';
  readonly type: string | undefined;
  readonly path: string;
  /** Number of resources, one on each line. */
  readonly count: number;
  readonly bytes: number;
}

export interface DownloadOptions {
  readonly directory: string;
  readonly parallel: number;
  readonly signal: AbortSignal;
  readonly token?: TokenSource | undefined;
  readonly onBytes: (bytes: number) => void;
  readonly onFile: () => void;
}

const ATTEMPTS = 3;

/** Throws `bad-request` when the directory holds anything: files of two exports must not get mixed. */
export async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  if ((await readdir(directory)).length > 0) {
    throw new HeadwaterError('bad-request', `${directory} is not empty; name a new or empty directory`);
  }
}

/**
 * Downloads every file of the manifest, several at a time, and checks bytes, resources and SHA-256 as far as the manifest has them. Writes
 * the manifest last, so that it exists only if all files do. The first failure ends everything.
 */
export async function downloadAll(
  manifest: ReceivedManifest,
  options: DownloadOptions,
): Promise<DownloadedFile[]> {
  const waiting = (['output', 'deleted', 'error'] as const)
    .flatMap((kind) => manifest[kind].map((file) => ({ kind, file })))
    .map((item, index) => ({ ...item, index }));
  const names = namesOf(waiting.map(({ file }) => file));
  const done: DownloadedFile[] = [];
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const work = async (): Promise<void> => {
    for (let item = waiting.shift(); item; item = waiting.shift()) {
      const path = join(options.directory, names[item.index] ?? '');
      const { count, bytes } = await downloadOne(item.file, path, { ...options, signal });
      done[item.index] = { kind: item.kind, type: item.file.type, path, count, bytes };
      options.onFile();
    }
  };
  const workers = Array.from({ length: options.parallel }, () =>
    work().catch((error: unknown) => {
      if (!signal.aborted) failed.abort(error);
    }),
  );
  await Promise.all(workers);
  signal.throwIfAborted();
  await writeFile(join(options.directory, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  return done;
}

/** The last part of each URL, made safe; with a number before it where two are the same. */
export function namesOf(files: readonly { readonly url: string }[]): string[] {
  const taken = new Set(['manifest.json']);
  return files.map(({ url }, index) => {
    const last = (URL.parse(url)?.pathname ?? '').split('/').at(-1) ?? '';
    const safe = last.replaceAll(/[^A-Za-z0-9._-]/g, '_').replace(/^\.+/, '') || 'file';
    const name = taken.has(safe) ? `${String(index + 1)}-${safe}` : safe;
    taken.add(name);
    return name;
  });
}

type OneOptions = Pick<DownloadOptions, 'signal' | 'onBytes' | 'token'>;
type Measured = Pick<DownloadedFile, 'count' | 'bytes'>;

async function downloadOne(file: ReceivedFile, path: string, options: OneOptions): Promise<Measured> {
  const part = `${path}.part`;
  for (let attempt = 1; ; attempt++) {
    try {
      const measured = await transfer(file, part, options);
      await rename(part, path);
      return measured;
    } catch (error) {
      await rm(part, { force: true });
      const final =
        error instanceof HeadwaterError && (error.code === 'not-found' || error.code === 'bad-request');
      if (attempt === ATTEMPTS || final || isAbort(error, options.signal)) throw error;
      await sleep(backoff(attempt, Math.random), options.signal);
    }
  }
}

async function transfer(
  file: ReceivedFile,
  path: string,
  { signal, onBytes, token }: OneOptions,
): Promise<Measured> {
  // Compression costs more than a fast network saves, and the checksum is of the stored bytes.
  const headers = { accept: '*/*', 'accept-encoding': 'identity' };
  const response = await ask(file.url, { signal, headers }, token);
  if (response.status !== 200 || !response.body) throw await errorOf(response);
  const hash = createHash('sha256');
  const lines = new LineCounter();
  let bytes = 0;
  async function* measure(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      hash.update(chunk);
      lines.add(chunk);
      bytes += chunk.length;
      onBytes(chunk.length);
      yield chunk;
    }
  }
  try {
    await pipeline(response.body, measure, createWriteStream(path), { signal });
  } catch (error) {
    onBytes(-bytes);
    throw error;
  }
  const zipped = /gzip/.test(response.headers.get('content-type') ?? '');
  const count = zipped ? await linesOfGzip(path, signal) : lines.count;
  const wrong = firstDifference(file, { bytes, count, sha256: hash.digest('hex') });
  if (wrong === undefined) return { bytes, count };
  onBytes(-bytes);
  throw new HeadwaterError(
    'corrupt',
    `${file.url.replace(/\?.*/s, '')} is not what the manifest says: ${wrong}`,
  );
}

function firstDifference(
  file: ReceivedFile,
  got: { bytes: number; count: number; sha256: string },
): string | undefined {
  const expected = { bytes: file.extension?.bytes, count: file.count, sha256: file.extension?.sha256 };
  for (const name of ['bytes', 'count', 'sha256'] as const) {
    if (expected[name] !== undefined && expected[name] !== got[name]) {
      return `${name} is ${String(got[name])}, not ${String(expected[name])}`;
    }
  }
  return undefined;
}

async function linesOfGzip(path: string, signal: AbortSignal): Promise<number> {
  const lines = new LineCounter();
  await pipeline(
    createReadStream(path),
    createGunzip(),
    async (chunks: AsyncIterable<Uint8Array>) => {
      for await (const chunk of chunks) lines.add(chunk);
    },
    { signal },
  );
  return lines.count;
}

const NEWLINE = 10;

/** Organized output has a header before each block. A header is not a resource. */
const HEADER = /^\s*\{\s*"resourceType"\s*:\s*"Parameters"/;
/** The bytes of a line that suffice to recognise a header. */
const START_BYTES = 60;

/** Counts lines that hold a resource; the last need not be ended. */
class LineCounter {
  #ended = 0;
  #start = '';

  add(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      this.#take(bytes, from, at);
      this.#ended += this.#open;
      this.#start = '';
      from = at + 1;
    }
    this.#take(bytes, from, bytes.length);
  }

  get count(): number {
    return this.#ended + this.#open;
  }

  get #open(): 0 | 1 {
    return this.#start === '' || HEADER.test(this.#start) ? 0 : 1;
  }

  #take(bytes: Buffer, from: number, to: number): void {
    const missing = START_BYTES - this.#start.length;
    if (missing > 0) this.#start += bytes.toString('latin1', from, Math.min(to, from + missing));
  }
}
