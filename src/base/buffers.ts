/**
 * Gives a buffer's memory back at once instead of at some collection: of buffers that live for a moment, a collector lets
 * many megabytes pile up. The buffer is empty then, and so is every view of it. Not if it lies in Node's pool, which others share.
 */
export function release({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}
