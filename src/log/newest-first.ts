import { KeySet } from '../base/key-set.ts';
import type { RecordBatch } from './log.ts';

/** Memory for the keys of a partition: 10 million. */
const KEY_BYTES = 144 << 20;

/**
 * The answer about the older versions of a record's key:
 * `ask`: nothing is known of the key, and nothing older can be there; a further record of it is its newest again;
 * `skip`: pass over them;
 * `watch`: visit the next older one;
 * `doubt`: the same, and when none of them says otherwise, tell `doubted`.
 */
export type Remember = 'ask' | 'skip' | 'watch' | 'doubt';

export interface Visitor {
  /** @param older whether a newer version of the same key was visited, and is watched */
  visit(batch: RecordBatch, index: number, older: boolean): Remember;
  /** Called with a record of each key that is still in doubt. */
  doubted?(batch: RecordBatch, index: number): void;
}

interface Walk {
  /** Opens the records, newest batch first; once for each pass. Those from `below` on need not be among them. */
  readonly open: (below: number) => AsyncIterable<RecordBatch>;
  /** First offset, or one before it. */
  readonly from: number;
  readonly visitor: Visitor;
  readonly keyBytes?: number | undefined;
}

/**
 * Visits the records of a range, newest first, and of each key no older ones unless the visitor watches it. Yields each batch when it is
 * visited. Memory is bounded: when the keys fill it, the pass only looks for older records of these keys from there on, and
 * marks them, one bit a record. The next pass begins where the keys were full, without the marked records. So n times as many keys
 * as fit lead to n passes, each shorter than the one before, and a range always leads to the same ones.
 */
export async function* newestFirst({
  open,
  from,
  visitor,
  keyBytes = KEY_BYTES,
}: Walk): AsyncIterable<RecordBatch> {
  const keys = new KeySet(keyBytes);
  const decided = new Marks(from);
  for (let below = Infinity; ;) {
    const pass = new Pass(below, { keys, decided, visitor });
    for await (const batch of open(below)) {
      pass.batch(batch);
      yield batch;
    }
    if (keys.doubted > 0)
      for await (const batch of open(below)) {
        pass.tellDoubted(batch);
        yield batch;
        if (keys.doubted === 0) break;
      }
    if (pass.end === undefined) return;
    below = pass.end;
    keys.clear();
  }
}

class Pass {
  /** The last record of which the keys could be remembered. */
  end: number | undefined;
  readonly #below: number;
  readonly #keys: KeySet;
  readonly #decided: Marks;
  readonly #visitor: Visitor;

  constructor(
    below: number,
    { keys, decided, visitor }: { readonly keys: KeySet; readonly decided: Marks; readonly visitor: Visitor },
  ) {
    this.#below = below;
    this.#keys = keys;
    this.#decided = decided;
    this.#visitor = visitor;
  }

  batch(batch: RecordBatch): void {
    const keys = this.#keys;
    for (let i = batch.end - 1; i >= batch.begin; i--) {
      const offset = batch.offset(i);
      if (offset >= this.#below || this.#decided.has(offset)) continue;
      const looked = keys.size > 0;
      if (looked) keys.lookAt(batch.data, batch.keyStart(i), batch.keyEnd(i));
      const older = looked && keys.has;
      if (this.end !== undefined) {
        if (!older) continue; // a later pass visits it
        this.#decided.add(offset);
      }
      if (older && !keys.watched) continue;
      const remember = this.#visitor.visit(batch, i, older);
      if (remember === 'ask') continue;
      if (!looked) keys.lookAt(batch.data, batch.keyStart(i), batch.keyEnd(i));
      keys.put(remember === 'watch' || remember === 'doubt', remember === 'doubt');
      if (keys.isFull && this.end === undefined) {
        this.end = offset;
        this.#decided.cover(offset);
      }
    }
  }

  tellDoubted(batch: RecordBatch): void {
    const keys = this.#keys;
    for (let i = batch.end - 1; i >= batch.begin && keys.doubted > 0; i--) {
      keys.lookAt(batch.data, batch.keyStart(i), batch.keyEnd(i));
      if (!keys.isDoubted) continue;
      this.#visitor.doubted?.(batch, i);
      keys.put(false, false);
    }
  }
}

/** Records that no further pass has to look at: one bit each, once there are any. */
class Marks {
  readonly #from: number;
  #bits = new Uint8Array(0);

  constructor(from: number) {
    this.#from = from;
  }

  /** Makes room for marks below an offset, the greatest first. */
  cover(below: number): void {
    if (this.#bits.length === 0) this.#bits = new Uint8Array(Math.ceil((below - this.#from) / 8));
  }

  add(offset: number): void {
    const at = offset - this.#from;
    const byte = Math.floor(at / 8);
    this.#bits[byte] = (this.#bits[byte] ?? 0) | (1 << (at % 8));
  }

  has(offset: number): boolean {
    if (this.#bits.length === 0) return false;
    const at = offset - this.#from;
    return ((this.#bits[Math.floor(at / 8)] ?? 0) & (1 << (at % 8))) !== 0;
  }
}
