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

/** The answer that a client gets under the URL of an object. */
export interface Download {
  /** ms since 1970. */
  readonly expiresAt: number;
  readonly contentType: string;
  /** The name under which a browser stores it. */
  readonly fileName: string;
}

export interface DownloadUrl {
  readonly url: string;
  /** ms since 1970. Earlier than wanted if the store or its credentials do not reach as far. */
  readonly expiresAt: number;
}

/** Writes one object. When `finish` returns, the whole object exists under its key and has replaced an earlier one. */
export interface ObjectWriter {
  /** Resolves when the caller may write the next chunk (back-pressure). After that the caller may reuse the chunk. */
  write(chunk: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  /** Leaves nothing behind. Never throws. */
  abort(): Promise<void>;
}

/**
 * Port to the store of export files. Keys are `/`-separated relative names of safe characters.
 * Invariant: readers see a whole object or none. A crash leaves at most invisible parts, which `deletePrefix` removes.
 */
export interface ObjectStore {
  create(key: string, contentType: string): Promise<ObjectWriter>;
  /** Throws `not-found`. */
  read(key: string, range?: ByteRange): Promise<Readable>;
  /** undefined if there is no such object. */
  head(key: string): Promise<ObjectInfo | undefined>;
  list(prefix: string): AsyncIterable<ObjectInfo>;
  /** Removes every object and unfinished part under the prefix, which ends in `/`. Does nothing if there are none. */
  deletePrefix(prefix: string): Promise<void>;
  /** Keys of the folders directly under the root, or under the parent folder. Includes folders of unfinished jobs. */
  folders(parent?: string): AsyncIterable<string>;
  /** Signs a URL by which its holder reads this one object from the store. undefined if the store has no such URLs. */
  downloadUrl(key: string, download: Download): Promise<DownloadUrl | undefined>;
}

/** The last object of a complete folder. Tools that watch a store for data take a folder with it for whole. */
export const COMPLETION_MARKER = '_SUCCESS';

/** A store that can record its owner. */
export interface ClaimableStore {
  /** Beginnings of keys under which the parts of the store lie that can have different owners: '', or with a `/` at the end. */
  readonly roots: readonly string[];
  /**
   * Returns the text of a small object under a root; its name begins with a dot. If there is none, writes `text`; of several
   * concurrent callers, one writes. Without `text` it only reads, and returns '' if there is none.
   */
  claim(key: string, text?: string): Promise<string>;
}
