/**
 * Frees the memory of a buffer at once. The garbage collector would let many megabytes of short-lived buffers pile up. The buffer and all
 * views of it are empty afterwards. A buffer in the pool of Node is left alone, because others share its memory.
 */
export function release({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}
