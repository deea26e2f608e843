import { HeadwaterError } from '../../../base/errors.ts';

const PIECE_BYTES = 512;

/**
 * Writes a request in Kafka's protocol; the `compact` forms and `tags` are for calls with tagged fields (KIP-482). What is
 * large is not copied: the request is a list of buffers.
 */
export class WireWriter {
  readonly #pieces: Buffer[] = [];
  #piece = Buffer.allocUnsafe(PIECE_BYTES);
  #from = 0;
  #at = 0;
  #bytes = 0;

  int8(value: number): this {
    this.#reserve(1);
    this.#at = this.#piece.writeInt8(value, this.#at);
    return this;
  }

  bool(value: boolean): this {
    return this.int8(value ? 1 : 0);
  }

  int16(value: number): this {
    this.#reserve(2);
    this.#at = this.#piece.writeInt16BE(value, this.#at);
    return this;
  }

  int32(value: number): this {
    this.#reserve(4);
    this.#at = this.#piece.writeInt32BE(value, this.#at);
    return this;
  }

  int64(value: bigint): this {
    this.#reserve(8);
    this.#at = this.#piece.writeBigInt64BE(value, this.#at);
    return this;
  }

  string(value: string): this {
    const length = Buffer.byteLength(value);
    this.int16(length).#reserve(length);
    this.#at += this.#piece.write(value, this.#at);
    return this;
  }

  nullableString(value: string | undefined): this {
    return value === undefined ? this.int16(-1) : this.string(value);
  }

  /** The caller must not change the bytes until the request is answered. */
  bytes(value: Buffer): this {
    this.int32(value.length).#close();
    this.#pieces.push(value);
    this.#bytes += value.length;
    return this;
  }

  array<T>(items: readonly T[], write: (item: T) => void): this {
    this.int32(items.length);
    for (const item of items) write(item);
    return this;
  }

  compactString(value: string): this {
    const length = Buffer.byteLength(value);
    this.#unsigned(length + 1).#reserve(length);
    this.#at += this.#piece.write(value, this.#at);
    return this;
  }

  compactArray<T>(items: readonly T[], write: (item: T) => void): this {
    this.#unsigned(items.length + 1);
    for (const item of items) write(item);
    return this;
  }

  /** 16 zeros, which mean no topic id. */
  noUuid(): this {
    return this.int64(0n).int64(0n);
  }

  /** No tagged fields. */
  tags(): this {
    return this.#unsigned(0);
  }

  /** Returns everything that was written, after its length as an int32. */
  framed(): readonly Buffer[] {
    this.#close();
    const length = Buffer.allocUnsafe(4);
    length.writeInt32BE(this.#bytes);
    return [length, ...this.#pieces];
  }

  /** LEB128. */
  #unsigned(value: number): this {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) this.#byte((rest & 0x7f) | 0x80);
    return this.#byte(rest);
  }

  #byte(value: number): this {
    this.#reserve(1);
    this.#at = this.#piece.writeUInt8(value, this.#at);
    return this;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#piece.length) return;
    this.#close();
    this.#piece = Buffer.allocUnsafe(Math.max(bytes, PIECE_BYTES));
    this.#from = this.#at = 0;
  }

  #close(): void {
    if (this.#at === this.#from) return;
    this.#pieces.push(this.#piece.subarray(this.#from, this.#at));
    this.#bytes += this.#at - this.#from;
    this.#from = this.#at;
  }
}

/** Reads an answer. Throws `corrupt` when it ends too early. */
export class WireReader {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  int8(): number {
    return this.#data.readInt8(this.#pass(1));
  }

  bool(): boolean {
    return this.int8() !== 0;
  }

  int16(): number {
    return this.#data.readInt16BE(this.#pass(2));
  }

  int32(): number {
    return this.#data.readInt32BE(this.#pass(4));
  }

  int64(): bigint {
    return this.#data.readBigInt64BE(this.#pass(8));
  }

  /** '' also for null. */
  string(): string {
    const length = Math.max(0, this.int16());
    const from = this.#pass(length);
    return this.#data.toString('utf8', from, from + length);
  }

  /** A view; empty also for null. */
  bytes(): Buffer {
    const length = Math.max(0, this.int32());
    const from = this.#pass(length);
    return this.#data.subarray(from, from + length);
  }

  /** Empty also for null. */
  array<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let count = this.int32(); count > 0; count--) items.push(read());
    return items;
  }

  /** '' also for null. */
  compactString(): string {
    const length = Math.max(0, this.#unsigned() - 1);
    const from = this.#pass(length);
    return this.#data.toString('utf8', from, from + length);
  }

  /** Empty also for null. */
  compactArray<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let count = this.#unsigned() - 1; count > 0; count--) items.push(read());
    return items;
  }

  /** Reads a UUID, in the form that Kafka's tools print. */
  uuid(): string {
    const from = this.#pass(16);
    return this.#data.toString('base64url', from, from + 16);
  }

  /** Passes over tagged fields, all of which are optional. */
  tags(): void {
    for (let count = this.#unsigned(); count > 0; count--) {
      this.#unsigned(); // which
      this.#pass(this.#unsigned());
    }
  }

  /** LEB128. */
  #unsigned(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#data.readUInt8(this.#pass(1));
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new HeadwaterError('corrupt', 'a number in an answer of Kafka does not end');
  }

  #pass(bytes: number): number {
    const from = this.#at;
    if (from + bytes > this.#data.length)
      throw new HeadwaterError('corrupt', 'an answer of Kafka is cut off');
    this.#at += bytes;
    return from;
  }
}
