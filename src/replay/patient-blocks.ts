import { randomUUID } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HeadwaterError } from '../base/errors.ts';
import { hash32 } from '../base/hash32.ts';

/** The resources of one patient. */
export interface Block {
  readonly id: string;
  itself: Buffer | undefined;
  readonly others: Buffer[];
}

/** The most bytes in memory before they are spilled, and when they are read back. */
const MEMORY_BYTES = 32 << 20;
const BUCKETS = 64;
/** The most times that a bucket is divided again if it is too large: enough for 64^4 times the memory. */
const MAX_LEVELS = 4;
/** The head of an entry: length of the line, whether it is the patient itself, length of the id. */
const HEAD_BYTES = 6;

interface Bucket {
  readonly file: FileHandle;
  bytes: number;
}

/**
 * Lines sorted by patient. What does not fit into memory goes into temporary files, by a hash of the patient's id; each of them is then
 * read back by itself, or divided again. So each line is written and read once or twice, however many there are. The files have no
 * names: a process that ends leaves nothing. Memory: a fixed amount, and the resources of the largest patient.
 */
export class PatientBlocks {
  readonly #memoryBytes: number;
  readonly #level: number;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Spill files by hash; each is opened at its first entry. */
  readonly #buckets = new Map<number, Bucket>();

  constructor(memoryBytes = MEMORY_BYTES, level = 0) {
    this.#memoryBytes = memoryBytes;
    this.#level = level;
  }

  /** Adds a copy of data[start, end). */
  add(id: string, itself: boolean, data: Buffer, [start, end]: readonly [number, number]): void {
    const name = Buffer.from(id);
    const entry = Buffer.allocUnsafe(HEAD_BYTES + name.length + end - start);
    entry.writeUInt32LE(end - start, 0);
    entry[4] = itself ? 1 : 0;
    entry[5] = name.length;
    entry.set(name, HEAD_BYTES);
    data.copy(entry, HEAD_BYTES + name.length, start, end);
    this.#hold(entry);
  }

  /** Spills the lines if they need too much memory. */
  async drain(): Promise<void> {
    if (this.#heldBytes <= this.#memoryBytes || this.#level >= MAX_LEVELS) return;
    await this.#spill();
  }

  /** Yields the lines patient by patient. The order depends only on the added lines. */
  async *blocks(): AsyncIterable<Block> {
    if (this.#buckets.size === 0) {
      yield* blocksOf(this.#held);
      return;
    }
    await this.#spill();
    for (const [, bucket] of [...this.#buckets].sort(([a], [b]) => a - b)) {
      const inner = new PatientBlocks(this.#memoryBytes, this.#level + 1);
      try {
        for await (const entry of entriesOf(bucket, this.#memoryBytes)) {
          inner.#hold(entry);
          await inner.drain();
        }
        await bucket.file.close();
        yield* inner.blocks();
      } finally {
        await inner.close();
      }
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#buckets.values()].map(({ file }) => file.close()));
  }

  #hold(entry: Buffer): void {
    this.#held.push(entry);
    this.#heldBytes += entry.length;
  }

  async #spill(): Promise<void> {
    const byBucket = Map.groupBy(this.#held, (entry) => hash32(`${this.#level}/${idOf(entry)}`) % BUCKETS);
    this.#held = [];
    this.#heldBytes = 0;
    for (const [n, entries] of byBucket) {
      const bucket = this.#buckets.get(n) ?? (await openBucket().catch(refused));
      this.#buckets.set(n, bucket);
      const bytes = Buffer.concat(entries);
      await writeAt(bucket.file, bytes, bucket.bytes).catch(refused);
      bucket.bytes += bytes.length;
    }
  }
}

/** Fails the job, because an operator has to act and another try would fail too. Clients read the message, so it names no path. */
export function refused(error: unknown): never {
  const { code = 'unknown error' } = error as NodeJS.ErrnoException;
  throw new HeadwaterError(
    'limit',
    `a worker cannot write temporary files for organized output (${code}); its TMPDIR must name a folder with enough room`,
    { cause: error, subject: 'TMPDIR' },
  );
}

async function openBucket(): Promise<Bucket> {
  const path = join(tmpdir(), `headwater-${randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  return { file, bytes: 0 };
}

/** Reads a file in pieces; an entry that is larger is a piece of its own. */
async function* entriesOf({ file, bytes }: Bucket, memoryBytes: number): AsyncIterable<Buffer> {
  const pieceBytes = Math.max(HEAD_BYTES + 255, Math.min(memoryBytes, 1 << 20));
  for (let at = 0; at < bytes;) {
    let piece = await readAt(file, at, Math.min(pieceBytes, bytes - at));
    if (lengthOf(piece) > piece.length) piece = await readAt(file, at, lengthOf(piece));
    let end = 0;
    while (end + HEAD_BYTES <= piece.length) {
      const next = end + lengthOf(piece.subarray(end));
      if (next > piece.length) break;
      yield piece.subarray(end, next);
      end = next;
    }
    at += end;
  }
}

/** Writes all bytes: a write to a nearly full disk may end early. */
async function writeAt(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, at + written);
    written += bytesWritten;
  }
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const piece = Buffer.allocUnsafeSlow(length);
  for (let read = 0; read < length;) {
    const { bytesRead } = await file.read(piece, read, length - read, at + read);
    if (bytesRead === 0) throw new Error('a temporary file is shorter than what was written to it');
    read += bytesRead;
  }
  return piece;
}

function* blocksOf(entries: readonly Buffer[]): Iterable<Block> {
  const blocks = new Map<string, Block>();
  for (const entry of entries) {
    const id = idOf(entry);
    let block = blocks.get(id);
    if (!block) blocks.set(id, (block = { id, itself: undefined, others: [] }));
    const line = entry.subarray(HEAD_BYTES + (entry[5] ?? 0));
    if (entry[4] === 1) block.itself = line;
    else block.others.push(line);
  }
  yield* [...blocks.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function lengthOf(entry: Buffer): number {
  return HEAD_BYTES + (entry[5] ?? 0) + entry.readUInt32LE(0);
}

function idOf(entry: Buffer): string {
  return entry.toString('utf8', HEAD_BYTES, HEAD_BYTES + (entry[5] ?? 0));
}
