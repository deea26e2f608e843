const INITIAL_BYTES = 1024;
/** A zigzag varint of 64 bits. */
const LONGEST_VARINT = 10;
const INT32_MAX = 0x7fffffff;
/** Below this the doubled value is still exact in a double. */
const EXACT = 2 ** 52;
const EXACT_BIG = 2n ** 52n;

/** Writes Avro's primitives one after the other into one buffer, which is used again and grows when needed. */
export class AvroWriter {
  #bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#length = 0;
  }

  copyTo(target: Buffer, at: number): void {
    this.#bytes.copy(target, at, 0, this.#length);
  }

  /** Any safe integer. */
  long(value: number): void {
    if (value >= EXACT || value < -EXACT) this.bigLong(BigInt(value));
    else this.#varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  bigLong(value: bigint): void {
    if (value < EXACT_BIG && value >= 0n) {
      this.#varint(2 * Number(value));
      return;
    }
    this.#reserve(LONGEST_VARINT);
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    while (rest > 0x7fn) {
      this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#length++] = Number(rest);
  }

  /** The branch of a union of null and something. Returns its argument. */
  present(value: boolean): boolean {
    this.#reserve(1);
    this.#bytes[this.#length++] = value ? 2 : 0;
    return value;
  }

  string(value: string): void {
    const { length } = value;
    this.#reserve(LONGEST_VARINT + 3 * length);
    if (length < 64 && this.#shortAscii(value)) return;
    this.long(Buffer.byteLength(value));
    this.#length += this.#bytes.write(value, this.#length);
  }

  strings(values: readonly string[]): void {
    if (values.length > 0) {
      this.long(values.length);
      for (const value of values) this.string(value);
    }
    this.long(0);
  }

  /** A length below 64 takes one byte; most strings here are ids, and crossing into native code costs more than this loop. */
  #shortAscii(value: string): boolean {
    const bytes = this.#bytes;
    const start = this.#length + 1;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      bytes[start + i] = code;
    }
    bytes[start - 1] = value.length << 1;
    this.#length = start + value.length;
    return true;
  }

  #varint(value: number): void {
    this.#reserve(LONGEST_VARINT);
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value;
    while (rest > INT32_MAX) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#length = at;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, this.#length + count));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
