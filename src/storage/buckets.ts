/** A bucket (S3, Google Cloud Storage) or container (Azure), and the name of an object in it. */
export interface Place {
  readonly bucket: string;
  readonly name: string;
}

/**
 * Maps keys to buckets. A key whose first part is one of `others` lies in the bucket of that name, every other key in the first
 * bucket. In each bucket, everything lies under the same prefix.
 */
export class Buckets {
  readonly #first: string;
  readonly #prefix: string;
  readonly #others: readonly string[];

  /** @param prefix folders without a `/` at either end; may be empty */
  constructor(first: string, prefix: string, others: readonly string[]) {
    this.#first = first;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.#others = others;
  }

  /** Returns the place of a key, or of a prefix of keys. */
  place(key: string): Place {
    const slash = key.indexOf('/');
    const folder = slash < 0 ? key : key.slice(0, slash);
    if (!this.#others.includes(folder)) return { bucket: this.#first, name: this.#prefix + key };
    return { bucket: folder, name: this.#prefix + (slash < 0 ? '' : key.slice(slash + 1)) };
  }

  /** Returns the key of an object in a bucket. */
  key({ bucket, name }: Place): string {
    const rest = name.slice(this.#prefix.length);
    return this.#others.includes(bucket) ? `${bucket}/${rest}` : rest;
  }

  /** Returns the places of all keys that begin with the prefix: several buckets may hold some. */
  search(prefix: string): readonly Place[] {
    const inFirst = this.place(prefix);
    if (prefix.includes('/')) return [inFirst];
    const others = this.#others.filter((bucket) => bucket.startsWith(prefix));
    const first = { bucket: this.#first, name: this.#prefix + prefix };
    return [first, ...others.map((bucket) => ({ bucket, name: this.#prefix }))];
  }

  /** Beginnings of the keys of each bucket. */
  get roots(): readonly string[] {
    return ['', ...this.#others.map((bucket) => `${bucket}/`)];
  }
}
