/** Smaller buffers may share their memory with others, in Node's pool. */
const WORTH_RELEASING = 256 << 10;

/**
 * Gives a buffer's memory back at once instead of at some collection: of buffers that live for a moment, a collector lets
 * many megabytes pile up. The buffer is empty then, and so is every view of it.
 */
export function release({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= WORTH_RELEASING) buffer.transfer(0);
}
