import { zstdCompress, zstdDecompress, constants, gunzip } from 'node:zlib';
import { promisify } from 'node:util';
import { crc32c } from '@platformatic/kafka';
import { HeadwaterError } from '../../base/errors.ts';
import type { RecordBatch } from '../log.ts';

/**
 * Kafka's record batch, format version 2 (KIP-98; layout in Kafka's documentation, "Record Batch"), written and read
 * straight from bytes. A general client makes several objects of every record; replay and capture handle every record of
 * the log, so here a batch is one buffer and an index of positions.
 */

const HEADER_BYTES = 61;
const LENGTH_AT = 8;
const MAGIC_AT = 16;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;
const CODEC_MASK = 0x07;
const ZSTD = 4;
/** Bytes a record needs beside its key and value: attributes and five varints, none longer than 10 bytes together 40. */
const RECORD_OVERHEAD = 40;
/** Bytes of output first reserved for a frame that does not say its size (brokers write such when they compact). */
const UNKNOWN_SIZE = { least: 16 << 10, most: 1 << 20, ratio: 8 };
/** The most that is reserved at a time, whatever a header says. */
const MOST_RESERVED = 64 << 20;

const compress = promisify(zstdCompress) as (data: Buffer, options: object) => Promise<Buffer>;
const decompressZstd = promisify(zstdDecompress) as (data: Buffer, options: object) => Promise<Buffer>;
const decompressGzip = promisify(gunzip);

export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** Collects the records of one partition in the order given; grows as needed, and is used for one batch. */
export class BatchBuilder {
  #buffer: Buffer;
  #end = 0;
  #count = 0;
  #firstTimestamp = 0;
  #maxTimestamp = 0;

  constructor(initialBytes = 16_384) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  get count(): number {
    return this.#count;
  }

  /** Raw bytes of the records so far. */
  get bytes(): number {
    return this.#end;
  }

  /** Copies the record in. `timestamp` is in ms since 1970. */
  add(timestamp: number, key: Uint8Array, value: Uint8Array): void {
    if (this.#count === 0) this.#firstTimestamp = this.#maxTimestamp = timestamp;
    if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp;
    const delta = timestamp - this.#firstTimestamp;
    const length =
      1 +
      varintBytes(delta) +
      varintBytes(this.#count) +
      varintBytes(key.length) +
      key.length +
      varintBytes(value.length) +
      value.length +
      1;
    this.#reserve(length + RECORD_OVERHEAD);
    const buffer = this.#buffer;
    let at = writeVarint(buffer, this.#end, length);
    buffer[at++] = 0;
    at = writeVarint(buffer, at, delta);
    at = writeVarint(buffer, at, this.#count);
    at = writeVarint(buffer, at, key.length);
    buffer.set(key, at);
    at = writeVarint(buffer, at + key.length, value.length);
    buffer.set(value, at);
    at += value.length;
    buffer[at++] = 0; // no headers
    this.#end = at;
    this.#count++;
  }

  /** The finished transactional batch, compressed on another thread. `sequence` is the first record's. */
  async finish(producer: ProducerIdentity, sequence: number): Promise<Buffer> {
    const raw = this.#buffer.subarray(0, this.#end);
    const body = await compress(raw, {
      params: { [constants.ZSTD_c_compressionLevel]: 1 },
      chunkSize: Math.max(1024, (raw.length >> 2) + 1024),
      pledgedSrcSize: raw.length, // so that the frame says its size
    });
    release(this.#buffer);
    const batch = Buffer.allocUnsafe(HEADER_BYTES + body.length);
    batch.writeBigInt64BE(0n, 0);
    batch.writeInt32BE(batch.length - LENGTH_AT - 4, LENGTH_AT);
    batch.writeInt32BE(-1, 12);
    batch.writeInt8(2, MAGIC_AT);
    batch.writeInt16BE(ZSTD | TRANSACTIONAL, ATTRIBUTES_AT);
    batch.writeInt32BE(this.#count - 1, 23);
    batch.writeBigInt64BE(BigInt(this.#firstTimestamp), 27);
    batch.writeBigInt64BE(BigInt(this.#maxTimestamp), 35);
    batch.writeBigInt64BE(producer.producerId, 43);
    batch.writeInt16BE(producer.producerEpoch, 51);
    batch.writeInt32BE(sequence, 53);
    batch.writeInt32BE(this.#count, 57);
    batch.set(body, HEADER_BYTES);
    batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES_AT)), CRC_AT);
    return batch;
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    larger.set(this.#buffer.subarray(0, this.#end));
    release(this.#buffer);
    this.#buffer = larger;
  }
}

/** One batch as fetched: its header decoded, its records not yet. */
export interface RawBatch {
  readonly baseOffset: number;
  /** One past the last offset the batch covers, also when compaction took records out. */
  readonly nextOffset: number;
  readonly producerId: bigint;
  readonly transactional: boolean;
  readonly control: boolean;
  readonly count: number;
  /** The whole batch, header included. */
  readonly bytes: Buffer;
}

/** The whole batches at the front of a fetched buffer; a cut-off last one is left out. Throws `corrupt`. */
export function splitBatches(fetched: Buffer): RawBatch[] {
  const batches: RawBatch[] = [];
  let at = 0;
  while (at + HEADER_BYTES <= fetched.length) {
    const end = at + LENGTH_AT + 4 + fetched.readInt32BE(at + LENGTH_AT);
    if (end > fetched.length) break;
    if (fetched.readInt8(at + MAGIC_AT) !== 2) {
      throw new HeadwaterError(
        'corrupt',
        `record batch format ${String(fetched.readInt8(at + MAGIC_AT))} is not 2`,
      );
    }
    const attributes = fetched.readInt16BE(at + ATTRIBUTES_AT);
    const baseOffset = Number(fetched.readBigInt64BE(at));
    batches.push({
      baseOffset,
      nextOffset: baseOffset + fetched.readInt32BE(at + 23) + 1,
      producerId: fetched.readBigInt64BE(at + 43),
      transactional: (attributes & TRANSACTIONAL) !== 0,
      control: (attributes & CONTROL) !== 0,
      count: fetched.readInt32BE(at + 57),
      bytes: fetched.subarray(at, end),
    });
    at = end;
  }
  return batches;
}

/** Whether a control batch says that its producer's transaction was aborted (marker key: version int16, type int16; 0 = abort). */
export function isAbortMarker(batch: RawBatch): boolean {
  // The one record of a control batch is never compressed: length, attributes, timestamp, offset, key length, key.
  const at = skipVarints(batch.bytes, skipVarints(batch.bytes, HEADER_BYTES, 1) + 1, 3);
  return batch.bytes.readInt16BE(at + 2) === 0;
}

/** The records of a batch: positions into one buffer. Index 0 is the oldest. */
export class RecordSet implements RecordBatch {
  readonly data: Buffer;
  readonly count: number;
  begin = 0;
  end: number;
  readonly #baseOffset: number;
  readonly #baseTimestamp: number;
  readonly #index: Float64Array;
  readonly #owned: boolean;

  constructor(records: {
    /** Keys and values, decompressed. */
    readonly data: Buffer;
    /** Whether nobody else has the data. */
    readonly owned: boolean;
    /** Six numbers a record: offset delta, timestamp delta, key from and to, value from and to. */
    readonly index: Float64Array;
    readonly baseOffset: number;
    readonly baseTimestamp: number;
  }) {
    this.data = records.data;
    this.#owned = records.owned;
    this.#index = records.index;
    this.count = this.end = records.index.length / FIELDS;
    this.#baseOffset = records.baseOffset;
    this.#baseTimestamp = records.baseTimestamp;
  }

  offset(i: number): number {
    return this.#baseOffset + this.#field(i, 0);
  }

  timestamp(i: number): number {
    return this.#baseTimestamp + this.#field(i, 1);
  }

  /** The key as text; keys are `Type/id`, which FHIR keeps to ASCII. */
  keyText(i: number): string {
    return this.data.toString('latin1', this.#field(i, 2), this.#field(i, 3));
  }

  key(i: number): Buffer {
    return this.data.subarray(this.#field(i, 2), this.#field(i, 3));
  }

  value(i: number): Buffer {
    return this.data.subarray(this.#field(i, 4), this.#field(i, 5));
  }

  valueStart(i: number): number {
    return this.#field(i, 4);
  }

  valueEnd(i: number): number {
    return this.#field(i, 5);
  }

  /**
   * Gives the memory back at once instead of at some collection: of buffers that live for a moment, a collector lets many
   * megabytes pile up. Only when the records were decompressed, since otherwise others share it; they are gone then.
   */
  release(): void {
    const { buffer } = this.data;
    if (this.#owned && buffer instanceof ArrayBuffer && buffer.byteLength >= WORTH_RELEASING)
      buffer.transfer(0);
  }

  #field(i: number, field: number): number {
    return this.#index[i * FIELDS + field] as number;
  }
}

const FIELDS = 6;
/** Smaller buffers may share one with others, in Node's pool. */
const WORTH_RELEASING = 256 << 10;

/**
 * Gives a buffer's memory back at once instead of at some collection: of buffers that live for a moment, a collector lets
 * many megabytes pile up. The buffer is empty then.
 */
function release({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= WORTH_RELEASING) buffer.transfer(0);
}

/** Checks, decompresses (on another thread) and indexes a batch. Throws `corrupt`. */
export async function openBatch(batch: RawBatch): Promise<RecordSet> {
  const { bytes } = batch;
  if (crc32c(bytes.subarray(ATTRIBUTES_AT)) !== bytes.readUInt32BE(CRC_AT)) {
    throw new HeadwaterError(
      'corrupt',
      `the batch at offset ${batch.baseOffset} does not match its checksum`,
    );
  }
  const codec = bytes.readInt16BE(ATTRIBUTES_AT) & CODEC_MASK;
  const data = await decompress(codec, bytes.subarray(HEADER_BYTES));
  const index = new Float64Array(batch.count * FIELDS);
  let at = 0;
  for (let i = 0; i < index.length; i += FIELDS) {
    const length = readVarint(data, at);
    const end = cursor + length;
    index[i + 1] = readVarint(data, cursor + 1); // after the attributes
    index[i] = readVarint(data, cursor);
    const keyLength = readVarint(data, cursor);
    index[i + 2] = cursor;
    index[i + 3] = cursor + Math.max(0, keyLength);
    const valueLength = readVarint(data, cursor + Math.max(0, keyLength));
    index[i + 4] = cursor;
    index[i + 5] = cursor + Math.max(0, valueLength);
    at = end;
  }
  const baseTimestamp = Number(bytes.readBigInt64BE(27));
  return new RecordSet({ data, owned: codec !== 0, index, baseOffset: batch.baseOffset, baseTimestamp });
}

async function decompress(codec: number, data: Buffer): Promise<Buffer> {
  if (codec === 0) return data;
  // One byte more than the content, or zlib reserves as much again to see whether anything follows.
  if (codec === ZSTD) return decompressZstd(data, { chunkSize: Math.max(1024, zstdContentSize(data) + 1) });
  if (codec === 1) return decompressGzip(data);
  throw new HeadwaterError(
    'unsupported',
    `record batches compressed with codec ${codec}; set the topic's compression.type to producer or zstd`,
  );
}

/** Bytes a zstd frame holds decompressed, by its header (RFC 8878, 3.1.1.1); a guess where the header does not say. */
export function zstdContentSize(frame: Buffer): number {
  const descriptor = frame[4] ?? 0;
  const sizeFlag = descriptor >> 6;
  const singleSegment = (descriptor & 0x20) !== 0;
  const at = 5 + (singleSegment ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] ?? 0);
  const bytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  if (bytes === 0 || at + bytes > frame.length) {
    return Math.min(UNKNOWN_SIZE.most, Math.max(UNKNOWN_SIZE.least, frame.length * UNKNOWN_SIZE.ratio));
  }
  const size = bytes === 8 ? Number(frame.readBigUInt64LE(at)) : frame.readUIntLE(at, bytes);
  return Math.min(MOST_RESERVED, bytes === 2 ? size + 256 : size);
}

// Varints are zigzag. The reader returns the value and leaves the position after it here: no object per number.
let cursor = 0;

function readVarint(data: Buffer, from: number): number {
  let at = from;
  let byte = data[at++] as number;
  if (byte < 0x80) {
    cursor = at;
    return (byte >>> 1) ^ -(byte & 1);
  }
  let value = byte & 0x7f;
  let scale = 128;
  do {
    byte = data[at++] as number;
    value += (byte & 0x7f) * scale;
    scale *= 128;
  } while (byte >= 0x80);
  cursor = at;
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

function skipVarints(data: Buffer, from: number, count: number): number {
  let at = from;
  for (let i = 0; i < count; i++) while ((data[at++] as number) >= 0x80);
  return at;
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

function varintBytes(value: number): number {
  let rest = zigzag(value);
  let bytes = 1;
  while (rest >= 128) {
    rest = Math.floor(rest / 128);
    bytes++;
  }
  return bytes;
}

function writeVarint(buffer: Buffer, from: number, value: number): number {
  let rest = zigzag(value);
  let at = from;
  while (rest >= 128) {
    buffer[at++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  buffer[at++] = rest;
  return at;
}
