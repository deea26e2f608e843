import type { Readable } from 'node:stream';

export interface ObjectInfo {
  readonly key: string;
  readonly bytes: number;
  /** ms since 1970. */
  readonly modifiedAt: number;
}

/** Half-open byte range [start, end) of an object. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** An object being written. It exists under its key only once `finish` has returned, whole, replacing what was there. */
export interface ObjectWriter {
  /** Resolves when the next chunk may come (back-pressure). From then on the chunk is the caller's again, to be reused. */
  write(chunk: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  /** Leaves nothing behind. Never throws. */
  abort(): Promise<void>;
}

/**
 * Port to where files go. Keys are `/`-separated relative names of safe characters.
 * Invariant: an object is seen whole or not at all. A crash leaves at most invisible parts, which `deletePrefix` removes.
 */
export interface ObjectStore {
  create(key: string, contentType: string): Promise<ObjectWriter>;
  /** Throws `not-found`. */
  read(key: string, range?: ByteRange): Promise<Readable>;
  /** undefined when there is no such object. */
  head(key: string): Promise<ObjectInfo | undefined>;
  list(prefix: string): AsyncIterable<ObjectInfo>;
  /** Removes every object under the prefix (which ends in `/`) and unfinished parts there; fine if there are none. */
  deletePrefix(prefix: string): Promise<void>;
  /** Keys of the folders (finished jobs' or not) directly under the root, or under a folder there. */
  folders(parent?: string): AsyncIterable<string>;
}

/** What the store's owner is written with. */
export interface ClaimableStore {
  /**
   * The text of a small object under the root whose key begins with a dot; writes `text` if there is none, of several that do
   * so at once only one. Without `text` it only reads, and returns '' if there is none.
   */
  claim(key: string, text?: string): Promise<string>;
}
