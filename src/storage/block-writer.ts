import type { ObjectWriter } from './object-store.ts';

/** Blocks of one object that are sent at a time. */
const BLOCKS_AT_A_TIME = 2;

/** Free blocks that a pool keeps. */
const MAX_FREE = 8;

/** Memory for blocks, used again by one object after the other: what is left to the garbage collector stays for a while. */
export class BlockPool {
  readonly #blockBytes: number;
  readonly #free: Buffer[] = [];

  constructor(blockBytes: number) {
    this.#blockBytes = blockBytes;
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#blockBytes);
  }

  give(block: Buffer): void {
    if (this.#free.length < MAX_FREE) this.#free.push(block);
  }
}

/** Sends the blocks of one object and makes the object of them. */
export interface BlockSink {
  /** Sends a block; numbers begin with 0 and ascend. The block may be used again when the promise is settled. */
  stage(n: number, block: Buffer): Promise<void>;
  /** Makes the object of the blocks [0, count). */
  commit(count: number): Promise<void>;
  /** Discards the blocks. */
  discard(): Promise<void>;
}

/** Writes an object as numbered blocks, which exist as an object when they are committed. Memory: three blocks. */
export class BlockWriter implements ObjectWriter {
  readonly #pool: BlockPool;
  readonly #sink: BlockSink;
  readonly #staged: Promise<void>[] = [];
  #block: Buffer | undefined;
  #used = 0;

  constructor(pool: BlockPool, sink: BlockSink) {
    this.#pool = pool;
    this.#sink = sink;
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let from = 0; from < chunk.length;) {
      await this.#staged.at(-1 - BLOCKS_AT_A_TIME);
      const block = (this.#block ??= this.#pool.take());
      const part = chunk.subarray(from, from + block.length - this.#used);
      block.set(part, this.#used);
      this.#used += part.length;
      from += part.length;
      if (this.#used === block.length) this.#send(block);
    }
  }

  async finish(): Promise<void> {
    if (this.#block && this.#used > 0) this.#send(this.#block);
    await Promise.all(this.#staged);
    await this.#sink.commit(this.#staged.length);
  }

  async abort(): Promise<void> {
    if (this.#block) this.#pool.give(this.#block);
    this.#block = undefined;
    await Promise.allSettled(this.#staged);
    await this.#sink.discard().catch(() => undefined);
  }

  #send(block: Buffer): void {
    const staged = this.#sink.stage(this.#staged.length, block.subarray(0, this.#used)).finally(() => {
      this.#pool.give(block);
    });
    staged.catch(() => undefined); // the next call throws it
    this.#staged.push(staged);
    this.#block = undefined;
    this.#used = 0;
  }
}
