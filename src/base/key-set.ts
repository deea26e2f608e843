/** Words of a key: three of its hash, of which the last gives its lowest bits to the state. */
const WORDS = 3;
const TAKEN = 1;
const WATCHED = 2;
const DOUBTED = 4;
const STATE = TAKEN | WATCHED | DOUBTED;

/** There are several tables, which grow one at a time, so that a copy needs only a part of the memory. */
const TABLE_BITS = 5;
const TABLES = 1 << TABLE_BITS;
const FEWEST_SLOTS = 4;
const MAX_FILLED = 0.8;
/** Hashes are numbers below this. */
const HASHES = 2 ** 32;

/**
 * A set of keys in a bounded piece of memory, with a state for each key. Keys are known by 93 bits of a 128-bit hash: among a
 * billion keys the chance that two share them is 1 in 10^10. One key at a time is looked at: `lookAt`, then the other calls are about it.
 */
export class KeySet {
  readonly #tables: Uint32Array[] = Array.from({ length: TABLES }, () => NO_SLOTS);
  readonly #used = new Uint32Array(TABLES);
  readonly #mostSlots: number;
  /** The key that is looked at. */
  #first = 0;
  #second = 0;
  #third = 0;
  /** Its place: in the table of its second word, or where it would be put. */
  #at = 0;
  #isFull = false;
  size = 0;
  doubted = 0;

  /** @param bytes of memory at most */
  constructor(bytes: number) {
    this.#mostSlots = Math.max(FEWEST_SLOTS, Math.floor(bytes / (TABLES * WORDS * 4)));
  }

  /** Looks at the key in data[start, end). */
  lookAt(data: Uint8Array, start: number, end: number): void {
    hash128(data, start, end);
    this.#first = hashed[0] as number;
    this.#second = hashed[1] as number;
    this.#third = ((hashed[2] as number) & ~STATE) >>> 0;
    this.#find();
  }

  /** Returns true if there may be no room for the next key. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get has(): boolean {
    return (this.#slotState & TAKEN) !== 0;
  }

  get watched(): boolean {
    return (this.#slotState & WATCHED) !== 0;
  }

  get isDoubted(): boolean {
    return (this.#slotState & DOUBTED) !== 0;
  }

  /** Puts the key in, or changes its state. Only a set that is not full takes another key. */
  put(watched: boolean, doubted: boolean): void {
    if (!this.has) this.#makeRoom();
    const table = this.#table;
    if (this.isDoubted) this.doubted--;
    if (doubted) this.doubted++;
    table[this.#at] = this.#first;
    table[this.#at + 1] = this.#second;
    table[this.#at + 2] = (this.#third | TAKEN | (watched ? WATCHED : 0) | (doubted ? DOUBTED : 0)) >>> 0;
  }

  /** Removes all keys and keeps the memory. */
  clear(): void {
    for (const table of this.#tables) table.fill(0);
    this.#used.fill(0);
    this.size = this.doubted = 0;
    this.#isFull = false;
  }

  get #index(): number {
    return this.#second >>> (32 - TABLE_BITS);
  }

  get #table(): Uint32Array {
    return this.#tables[this.#index] as Uint32Array;
  }

  get #slotState(): number {
    return this.#table[this.#at + 2] ?? 0;
  }

  #find(): void {
    const table = this.#table;
    if (table.length === 0) return;
    const last = table.length - WORDS;
    let at = home(this.#second, table);
    for (; ; at = at === last ? 0 : at + WORDS) {
      const third = table[at + 2] as number;
      if (third === 0) break;
      if (
        table[at] === this.#first &&
        table[at + 1] === this.#second &&
        (third & ~STATE) >>> 0 === this.#third
      )
        break;
    }
    this.#at = at;
  }

  /** Counts a key that is about to be put in. */
  #makeRoom(): void {
    const index = this.#index;
    const used = (this.#used[index] as number) + 1;
    const slots = this.#table.length / WORDS;
    if (used > MAX_FILLED * slots) {
      this.#grow(index, Math.min(this.#mostSlots, Math.max(FEWEST_SLOTS, 2 * slots)));
      this.#find();
    }
    this.#used[index] = used;
    this.size++;
    if (used + 1 > MAX_FILLED * this.#mostSlots) this.#isFull = true;
  }

  /** Copies a table into a larger one. */
  #grow(index: number, slots: number): void {
    const old = this.#tables[index] as Uint32Array;
    const table = new Uint32Array(slots * WORDS);
    this.#tables[index] = table;
    for (let from = 0; from < old.length; from += WORDS) {
      if (old[from + 2] === 0) continue;
      let at = home(old[from + 1] as number, table);
      while (table[at + 2] !== 0) at = at === table.length - WORDS ? 0 : at + WORDS;
      table.set(old.subarray(from, from + WORDS), at);
    }
  }
}

const NO_SLOTS = new Uint32Array(0);

/** The first slot to try for a key, by the bits that did not choose the table. */
function home(second: number, table: Uint32Array): number {
  const slots = table.length / WORDS;
  return WORDS * Math.floor((((second << TABLE_BITS) >>> 0) / HASHES) * slots);
}

/** The hash of the last key. */
const hashed = new Uint32Array(4);
const C1 = 0x239b961b;
const C2 = 0xab0e9789;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93;

/** MurmurHash3, 128 bits for 32-bit machines. */
function hash128(data: Uint8Array, start: number, end: number): void {
  let h1 = 0;
  let h2 = 0;
  let h3 = 0;
  let h4 = 0;
  let at = start;
  for (; at + 16 <= end; at += 16) {
    h1 ^= mixed(word(data, at), C1, 15, C2);
    h1 = (Math.imul((rotated(h1, 19) + h2) | 0, 5) + 0x561ccd1b) | 0;
    h2 ^= mixed(word(data, at + 4), C2, 16, C3);
    h2 = (Math.imul((rotated(h2, 17) + h3) | 0, 5) + 0x0bcaa747) | 0;
    h3 ^= mixed(word(data, at + 8), C3, 17, C4);
    h3 = (Math.imul((rotated(h3, 15) + h4) | 0, 5) + 0x96cd1c35) | 0;
    h4 ^= mixed(word(data, at + 12), C4, 18, C1);
    h4 = (Math.imul((rotated(h4, 13) + h1) | 0, 5) + 0x32ac3b17) | 0;
  }
  if (at < end) {
    h1 ^= mixed(tail(data, at, end), C1, 15, C2);
    h2 ^= mixed(tail(data, at + 4, end), C2, 16, C3);
    h3 ^= mixed(tail(data, at + 8, end), C3, 17, C4);
    h4 ^= mixed(tail(data, at + 12, end), C4, 18, C1);
  }
  const length = end - start;
  h1 ^= length;
  h2 ^= length;
  h3 ^= length;
  h4 ^= length;
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = final((h2 + h1) | 0);
  h3 = final((h3 + h1) | 0);
  h4 = final((h4 + h1) | 0);
  h1 = (final(h1) + h2 + h3 + h4) | 0;
  hashed[0] = h1;
  hashed[1] = h2 + h1;
  hashed[2] = h3 + h1;
  hashed[3] = h4 + h1;
}

function word(data: Uint8Array, at: number): number {
  return (
    (data[at] as number) |
    ((data[at + 1] as number) << 8) |
    ((data[at + 2] as number) << 16) |
    ((data[at + 3] as number) << 24)
  );
}

/** A word of which only what lies before the end counts. */
function tail(data: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = 0; i < 4 && at + i < end; i++) value |= (data[at + i] as number) << (8 * i);
  return value;
}

function mixed(k: number, first: number, bits: number, second: number): number {
  return Math.imul(rotated(Math.imul(k, first), bits), second);
}

function rotated(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function final(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
