import type { ObjectWriter } from './object-store.ts';

/** Bytes of one block. Azure takes 50 000 blocks, hence 400 GB an object. */
const BLOCK_BYTES = 8 * 2 ** 20;
/** Blocks of one object that are sent at a time. */
const BLOCKS_AT_A_TIME = 2;

/** Writes an object as numbered blocks, which exist as an object when they are committed. */
export class BlockWriter implements ObjectWriter {
  readonly #stage: (n: number, block: Buffer) => Promise<void>;
  readonly #commit: (blocks: number) => Promise<void>;
  #block: Buffer | undefined;
  #used = 0;
  readonly #staged: Promise<void>[] = [];

  /**
   * @param stage sends a block; numbers begin with 0 and ascend
   * @param commit makes the object of the blocks [0, count)
   */
  constructor(stage: (n: number, block: Buffer) => Promise<void>, commit: (blocks: number) => Promise<void>) {
    this.#stage = stage;
    this.#commit = commit;
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let from = 0; from < chunk.length;) {
      const block = (this.#block ??= Buffer.allocUnsafe(BLOCK_BYTES));
      const part = chunk.subarray(from, from + block.length - this.#used);
      block.set(part, this.#used);
      this.#used += part.length;
      from += part.length;
      if (this.#used === block.length) this.#send();
      await this.#staged.at(-1 - BLOCKS_AT_A_TIME);
    }
  }

  async finish(): Promise<void> {
    if (this.#used > 0) this.#send();
    await Promise.all(this.#staged);
    await this.#commit(this.#staged.length);
  }

  async abort(): Promise<void> {
    this.#block = undefined;
    this.#used = 0;
    await Promise.allSettled(this.#staged);
  }

  #send(): void {
    const staged = this.#stage(this.#staged.length, (this.#block ?? Buffer.alloc(0)).subarray(0, this.#used));
    staged.catch(() => undefined); // the next call throws it
    this.#staged.push(staged);
    this.#block = undefined;
    this.#used = 0;
  }
}
