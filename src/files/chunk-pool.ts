/** Bytes of a chunk. */
export const CHUNK_BYTES = 1 << 20;
const MOST_FREE = 8;

const free: Buffer[] = [];

/** A buffer of CHUNK_BYTES, or of `least` when that is more. Used again when given back: a new one for every chunk costs more than filling it. */
export function takeChunk(least = 0): Buffer {
  return least > CHUNK_BYTES ? Buffer.allocUnsafe(least) : (free.pop() ?? Buffer.allocUnsafe(CHUNK_BYTES));
}

/** Nobody may look at the chunk any more. */
export function giveChunk(chunk: Buffer): void {
  if (chunk.length === CHUNK_BYTES && free.length < MOST_FREE) free.push(chunk);
}
