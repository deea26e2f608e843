import { HeadwaterError } from '../base/errors.ts';

/** Bits of a varint that are read as a 32-bit integer. */
const SMALL_BITS = 28;
const LONGEST_VARINT_BITS = 63;

/**
 * Reads Avro's primitives from a buffer without copying. `end`, and every read of a length, detects a read past the end, so the many
 * small reads in between need no check.
 */
export class AvroReader {
  buffer: Buffer = Buffer.alloc(0);
  position = 0;

  open(buffer: Buffer, position: number): void {
    this.buffer = buffer;
    this.position = position;
  }

  /** Reads a long as a number; exact below 2^53. */
  long(): number {
    const { buffer } = this;
    let at = this.position;
    let byte = buffer[at++] ?? 0;
    let low = byte & 0x7f;
    let shift = 7;
    while (byte > 0x7f && shift < SMALL_BITS) {
      byte = buffer[at++] ?? 0;
      low |= (byte & 0x7f) << shift;
      shift += 7;
    }
    if (byte <= 0x7f) {
      this.position = at;
      return (low >>> 1) ^ -(low & 1);
    }
    // Without the sign bit from here on, so that all 53 bits of a double are for the value.
    let value = low >>> 1;
    let factor = 2 ** (SMALL_BITS - 1);
    while (byte > 0x7f && shift <= LONGEST_VARINT_BITS) {
      byte = buffer[at++] ?? 0;
      value += (byte & 0x7f) * factor;
      factor *= 128;
      shift += 7;
    }
    this.position = at;
    return low & 1 ? -value - 1 : value;
  }

  /** Reads a long with all of its 64 bits. */
  bigLong(): bigint {
    const start = this.position;
    const value = this.long();
    if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) return BigInt(value);
    let zigzag = 0n;
    let shift = 0n;
    for (let at = start; at < this.position; at++) {
      zigzag |= BigInt((this.buffer[at] ?? 0) & 0x7f) << shift;
      shift += 7n;
    }
    return BigInt.asIntN(64, (zigzag >> 1n) ^ -(zigzag & 1n));
  }

  /** Returns true if a union of null and another type holds a value. */
  present(): boolean {
    const branch = this.buffer[this.position++];
    if (branch === 2) return true;
    if (branch === 0) return false;
    throw corrupt();
  }

  string(): string {
    const start = this.#length();
    return this.buffer.toString('utf8', start, this.position);
  }

  /** A view. */
  bytes(): Buffer {
    const start = this.#length();
    return this.buffer.subarray(start, this.position);
  }

  strings(): string[] {
    const values: string[] = [];
    for (let count = this.#block(); count > 0; count = this.#block()) {
      for (let i = 0; i < count; i++) values.push(this.string());
    }
    return values;
  }

  skipLong(): void {
    const { buffer } = this;
    let at = this.position;
    while ((buffer[at++] ?? 0) > 0x7f);
    this.position = at;
  }

  skipBytes(): void {
    this.#length();
  }

  skipStrings(): void {
    for (let count = this.#block(); count > 0; count = this.#block()) {
      for (let i = 0; i < count; i++) this.#length();
    }
  }

  /** Throws `corrupt` unless exactly all bytes were read. */
  end(): void {
    if (this.position !== this.buffer.length) throw corrupt();
  }

  /** Reads a length and skips that many bytes. Returns the place where they start. */
  #length(): number {
    const length = this.long();
    const start = this.position;
    const end = start + length;
    if (length < 0 || end > this.buffer.length) throw corrupt();
    this.position = end;
    return start;
  }

  /** Items in the next block of an array. A negative count is followed by the block's size in bytes (Avro 1.12, Arrays). */
  #block(): number {
    const count = this.long();
    if (count < 0) this.skipLong();
    const items = Math.abs(count);
    if (items > this.buffer.length - this.position) throw corrupt();
    return items;
  }
}

function corrupt(): HeadwaterError {
  return new HeadwaterError('corrupt', 'a resource change in the log is not what was written');
}
