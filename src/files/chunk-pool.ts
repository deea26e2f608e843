/** Bytes of a chunk. */
export const CHUNK_BYTES = 1 << 20;
const MAX_FREE = 8;

const free: Buffer[] = [];

/** A buffer of CHUNK_BYTES, or of `least` when that is more. Used again when given back: a new one for every chunk costs more than filling it. */
export function takeChunk(least = 0): Buffer {
  return least > CHUNK_BYTES ? Buffer.allocUnsafe(least) : (free.pop() ?? Buffer.allocUnsafe(CHUNK_BYTES));
}

/** Gives a chunk back; the caller must not use it again. */
export function giveChunk(chunk: Buffer): void {
  if (chunk.length === CHUNK_BYTES && free.length < MAX_FREE) free.push(chunk);
}
