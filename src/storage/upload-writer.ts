import { Readable } from 'node:stream';
import type { ObjectWriter } from './object-store.ts';

/** Writes an object by an SDK that reads a stream. Holds one chunk besides what the SDK holds. */
export class UploadWriter implements ObjectWriter {
  readonly #body = new UploadBody();
  readonly #done: Promise<void>;

  /** @param upload resolves when the whole object exists; leaves nothing in the store when it rejects, as it does when the body fails */
  constructor(upload: (body: Readable) => Promise<void>) {
    this.#done = upload(this.#body);
    // A failed upload takes no more chunks. The next call of the caller throws the reason.
    this.#done.catch((error: unknown) => this.#body.destroy(error as Error));
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#body.give(chunk);
  }

  async finish(): Promise<void> {
    this.#body.push(null);
    await this.#done;
  }

  async abort(): Promise<void> {
    this.#body.destroy(new Error('the writer aborted the upload'));
    await this.#done.catch(() => undefined);
  }
}

/** A stream of the chunks that it is given. */
class UploadBody extends Readable {
  #wanted: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor() {
    super({ highWaterMark: 1 });
    this.#wanted.promise.catch(() => undefined); // `give` throws it
    this.on('error', () => undefined); // the upload throws it
  }

  /** Copies the chunk. Resolves when the reader has asked for it. */
  async give(chunk: Uint8Array): Promise<void> {
    if (chunk.length === 0) return;
    await this.#wanted.promise;
    if (this.destroyed) throw this.errored ?? new Error('the upload has ended');
    this.#wanted = Promise.withResolvers();
    this.#wanted.promise.catch(() => undefined);
    this.push(Buffer.from(chunk));
  }

  override _read(): void {
    this.#wanted.resolve();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#wanted.reject(error ?? new Error('the upload has ended'));
    done(error);
  }
}
