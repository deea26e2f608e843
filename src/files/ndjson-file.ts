import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { createGzip } from 'node:zlib';
import type { Gzip } from 'node:zlib';
import { contentTypeOf } from '../events/file-type.ts';
import type { ObjectStore, ObjectWriter } from '../storage/object-store.ts';
import { giveChunk, takeChunk } from './chunk-pool.ts';

const NEWLINE = 10;

export interface WrittenFile {
  readonly count: number;
  /** Bytes as stored. */
  readonly bytes: number;
  /** SHA-256 of the stored bytes, hex. */
  readonly sha256: string;
}

/**
 * One NDJSON file on its way to the store. `line` copies a line into a chunk and does not wait; `drain` sends the full chunks. So a caller
 * in a hot loop waits once for each batch and not for each line. Memory: the lines between two drains, and the chunk that is being
 * written.
 */
export class NdjsonFile {
  readonly #store: ObjectStore;
  readonly #key: string;
  #writer: ObjectWriter | undefined;
  readonly #hash: Hash = createHash('sha256');
  readonly #gzip: GzipEncoder | undefined;
  #chunk = takeChunk();
  #used = 0;
  #full: { readonly chunk: Buffer; readonly used: number }[] = [];
  /** The write that is under way while the next chunk is filled. */
  #writing: Promise<void> = Promise.resolve();
  #count = 0;
  #rawBytes = 0;
  #storedBytes = 0;

  constructor(store: ObjectStore, key: string, gzip: boolean) {
    this.#store = store;
    this.#key = key;
    this.#gzip = gzip ? new GzipEncoder() : undefined;
  }

  /** Bytes added, before any compression. */
  get rawBytes(): number {
    return this.#rawBytes;
  }

  /** Adds data[start, end) and a newline. */
  line(data: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.#used + length + 1 > this.#chunk.length) this.#nextChunk(length + 1);
    data.copy(this.#chunk, this.#used, start, end);
    this.#used += length;
    this.#chunk[this.#used++] = NEWLINE;
    this.#count++;
    this.#rawBytes += length + 1;
  }

  /** Adds a line that is no resource: it does not count. */
  header(line: Buffer): void {
    this.line(line, 0, line.length);
    this.#count--;
  }

  /** Sends the full chunks to the store. Resolves when it can take more. */
  async drain(): Promise<void> {
    if (this.#full.length === 0) return;
    const chunks = this.#full;
    this.#full = [];
    for (const { chunk, used } of chunks) await this.#send(chunk, used);
  }

  /** Stores the rest. When it resolves, the file exists. */
  async finish(): Promise<WrittenFile> {
    await this.drain();
    await this.#send(this.#chunk, this.#used);
    if (this.#gzip) await this.#write(await this.#gzip.end());
    await this.#writing;
    await (await this.#open()).finish();
    return { count: this.#count, bytes: this.#storedBytes, sha256: this.#hash.digest('hex') };
  }

  /** Leaves nothing behind. */
  async abort(): Promise<void> {
    this.#gzip?.destroy();
    await this.#writing.catch(() => undefined);
    await this.#writer?.abort();
  }

  #nextChunk(needed: number): void {
    if (this.#used > 0) this.#full.push({ chunk: this.#chunk, used: this.#used });
    else giveChunk(this.#chunk);
    this.#chunk = takeChunk(needed);
    this.#used = 0;
  }

  async #send(chunk: Buffer, used: number): Promise<void> {
    const lines = chunk.subarray(0, used);
    if (!this.#gzip) return this.#write(lines, () => giveChunk(chunk));
    const bytes = used > 0 ? await this.#gzip.encode(lines) : lines;
    giveChunk(chunk);
    return this.#write(bytes);
  }

  /** Waits for the previous write, and not for this one. */
  async #write(bytes: Buffer, onWritten?: () => void): Promise<void> {
    this.#hash.update(bytes);
    this.#storedBytes += bytes.length;
    await this.#writing;
    this.#writing = this.#hand(bytes).then(onWritten);
    this.#writing.catch(() => undefined); // the next write, or `finish`, throws it
  }

  async #hand(bytes: Buffer): Promise<void> {
    if (bytes.length > 0) await (await this.#open()).write(bytes);
  }

  /** Opens the file when it has bytes, because most tasks have no deletes and no errors. */
  async #open(): Promise<ObjectWriter> {
    this.#writer ??= await this.#store.create(this.#key, contentTypeOf(this.#key));
    return this.#writer;
  }
}

/** One gzip member, compressed chunk by chunk on another thread; the same input gives the same bytes. */
class GzipEncoder {
  readonly #gzip: Gzip = createGzip({ level: 1 });
  #output: Buffer[] = [];

  constructor() {
    this.#gzip.on('data', (data: Buffer) => this.#output.push(data));
  }

  async encode(chunk: Buffer): Promise<Buffer> {
    await new Promise<void>((resolve, reject) =>
      this.#gzip.write(chunk, (error) => (error ? reject(error) : resolve())),
    );
    return this.#take();
  }

  async end(): Promise<Buffer> {
    await new Promise<void>((resolve, reject) => {
      this.#gzip.once('end', resolve).once('error', reject);
      this.#gzip.end();
    });
    return this.#take();
  }

  destroy(): void {
    this.#gzip.destroy();
  }

  #take(): Buffer {
    const output = Buffer.concat(this.#output);
    this.#output = [];
    return output;
  }
}
