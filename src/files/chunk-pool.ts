/** Bytes of a chunk. */
export const CHUNK_BYTES = 1 << 20;
const MAX_FREE = 8;

const free: Buffer[] = [];

/** Returns a buffer of CHUNK_BYTES, or of `least` if that is more. Buffers are used again, because a new one costs more than filling it. */
export function takeChunk(least = 0): Buffer {
  return least > CHUNK_BYTES ? Buffer.allocUnsafe(least) : (free.pop() ?? Buffer.allocUnsafe(CHUNK_BYTES));
}

/** Takes a chunk back. The caller must not use it again. */
export function giveChunk(chunk: Buffer): void {
  if (chunk.length === CHUNK_BYTES && free.length < MAX_FREE) free.push(chunk);
}
