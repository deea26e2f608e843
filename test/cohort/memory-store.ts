import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import type { ObjectStore } from '../../src/storage/object-store.ts';

/** Objects that can be written and looked at. */
export class MemoryStore implements ObjectStore {
  readonly #objects = new Map<string, Buffer>();

  text(key: string): string {
    return (this.#objects.get(key) ?? assert.fail(`${key} was not written`)).toString();
  }

  create(key: string) {
    const chunks: Buffer[] = [];
    return Promise.resolve({
      write: (chunk: Uint8Array) => Promise.resolve(void chunks.push(Buffer.from(chunk))),
      finish: () => {
        assert(!this.#objects.has(key), `${key} is written once`);
        this.#objects.set(key, Buffer.concat(chunks));
        return Promise.resolve();
      },
      abort: () => Promise.resolve(),
    });
  }

  read(): Promise<Readable> {
    return Promise.resolve(Readable.from([]));
  }

  head(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async *list(): AsyncIterable<never> {}

  deletePrefix(): Promise<void> {
    return Promise.resolve();
  }

  async *folders(): AsyncIterable<never> {}

  downloadUrl(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}
