import { HASHES, KeySet } from '../base/key-set.ts';
import type { RecordBatch } from './log.ts';

/** Memory for the keys of a partition: 10 million. */
const KEY_BYTES = 144 << 20;
/** How full a further pass is planned to be. */
const PLANNED_FILL = 0.97;

/**
 * What to do about the older versions of a record's key:
 * `ask`: nothing is known of the key, and nothing older can be there; a further record of it is its newest again;
 * `skip`: pass over them;
 * `watch`: visit the next older one;
 * `doubt`: the same, and when none of them says otherwise, tell `doubted`.
 */
export type Remember = 'ask' | 'skip' | 'watch' | 'doubt';

export interface Visitor {
  /**
   * @param older whether a newer version of the same key was visited, and is watched
   * @param silent whether an earlier pass told of it: decide the same, tell nothing
   */
  visit(batch: RecordBatch, index: number, older: boolean, silent: boolean): Remember;
  /** Any record of a key about which the doubt has remained. */
  doubted?(batch: RecordBatch, index: number): void;
}

/** The keys of a share of all hashes. Earlier passes told of what lies at `silentFrom` and behind. */
interface Pass {
  readonly from: number;
  readonly to: number;
  readonly silentFrom: number;
}

interface Walk {
  /** Opens the records, newest batch first; once for each pass. */
  readonly open: () => AsyncIterable<RecordBatch>;
  /** First offset, or one before it. */
  readonly from: number;
  readonly visitor: Visitor;
  readonly keyBytes?: number | undefined;
}

/**
 * Visits the records of a range, newest first, and of each key no older ones unless the visitor watches it. Yields each batch when it is
 * visited. The keys that were met are in bounded memory: when there are more, the pass goes on with a share of them, and
 * further passes over the range have the others. A range always leads to the same passes.
 */
export async function* newestFirst({
  open,
  from,
  visitor,
  keyBytes = KEY_BYTES,
}: Walk): AsyncIterable<RecordBatch> {
  const passes: Pass[] = [{ from: 0, to: HASHES, silentFrom: Infinity }];
  for (let pass = passes.shift(); pass; pass = passes.shift()) {
    const walking = new Walking(pass, from, visitor, new KeySet(keyBytes));
    for await (const batch of open()) {
      walking.batch(batch);
      yield batch;
    }
    passes.unshift(...walking.leftOver);
    if (!walking.inDoubt) continue;
    for await (const batch of open()) {
      walking.tellDoubted(batch);
      yield batch;
      if (!walking.inDoubt) break;
    }
  }
}

class Walking {
  /** Shares that this pass could not hold. */
  readonly leftOver: Pass[] = [];
  readonly #first: number;
  readonly #visitor: Visitor;
  readonly #keys: KeySet;
  #pass: Pass;
  #newest = -1;

  constructor(pass: Pass, first: number, visitor: Visitor, keys: KeySet) {
    this.#pass = pass;
    this.#first = first;
    this.#visitor = visitor;
    this.#keys = keys;
  }

  get inDoubt(): boolean {
    return this.#keys.doubted > 0;
  }

  batch(batch: RecordBatch): void {
    const keys = this.#keys;
    if (this.#newest < 0 && batch.end > batch.begin) this.#newest = batch.offset(batch.end - 1);
    for (let i = batch.end - 1; i >= batch.begin; i--) {
      const { from, to, silentFrom } = this.#pass;
      const whole = from === 0 && to === HASHES;
      const looked = keys.size > 0 || !whole;
      if (looked && !keys.lookAt(batch.data, batch.keyStart(i), batch.keyEnd(i), from, to)) continue;
      const older = looked && keys.has;
      if (older && !keys.watched) continue;
      const silent = silentFrom !== Infinity && batch.offset(i) >= silentFrom;
      const remember = this.#visitor.visit(batch, i, older, silent);
      if (remember === 'ask') continue;
      if (!looked) keys.lookAt(batch.data, batch.keyStart(i), batch.keyEnd(i));
      const doubt = remember === 'doubt';
      while (!keys.put(doubt || remember === 'watch', doubt)) {
        this.#narrow(batch.offset(i));
        if (keys.share >= this.#pass.to) break; // a later pass has it
      }
    }
  }

  tellDoubted(batch: RecordBatch): void {
    const keys = this.#keys;
    for (let i = batch.end - 1; i >= batch.begin; i--) {
      const { from, to } = this.#pass;
      if (!keys.lookAt(batch.data, batch.keyStart(i), batch.keyEnd(i), from, to) || !keys.isDoubted) continue;
      this.#visitor.doubted?.(batch, i);
      keys.put(false, false);
    }
  }

  /** Leaves to further passes what this one will not be able to hold, by what it has met so far. */
  #narrow(at: number): void {
    const { from, to, silentFrom } = this.#pass;
    const share = Math.max(1e-9, (this.#newest - at + 1) / (this.#newest - this.#first + 1));
    const expected = 1 / share / PLANNED_FILL;
    const middle = from + Math.max(1, Math.floor((to - from) / Math.max(expected, 1.1)));
    this.#keys.removeFrom(middle);
    this.#pass = { from, to: middle, silentFrom };
    const others = Math.max(1, Math.ceil((to - middle) / (middle - from) - 0.01));
    const width = (to - middle) / others;
    const bounds = Array.from({ length: others + 1 }, (_, i) =>
      i === others ? to : middle + Math.floor(i * width),
    );
    this.leftOver.unshift(
      ...bounds.slice(1).map((end, i) => ({
        from: bounds[i] ?? middle,
        to: end,
        silentFrom: Math.min(silentFrom, at),
      })),
    );
  }
}
