import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import { HeadwaterError } from '../../../base/errors.ts';
import type { RecordBatch } from '../../log.ts';
import { release } from '../../../base/buffers.ts';
import * as layout from '../wire/record-batch.ts';
import { readVarint, varintEnd } from '../wire/varints.ts';

/** Bytes of output first reserved for a frame that does not say its size (brokers write such when they compact). */
const UNKNOWN_SIZE = { least: 16 << 10, most: 1 << 20, ratio: 8 };
/** The most that is reserved at a time, whatever a header says. */
const MAX_RESERVED = 64 << 20;

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
  while (at + layout.HEADER_BYTES <= fetched.length) {
    const end = at + layout.LENGTH_AT + 4 + fetched.readInt32BE(at + layout.LENGTH_AT);
    if (end > fetched.length) break;
    if (fetched.readInt8(at + layout.MAGIC_AT) !== 2) {
      throw new HeadwaterError(
        'corrupt',
        `record batch format ${String(fetched.readInt8(at + layout.MAGIC_AT))} is not 2`,
      );
    }
    const attributes = fetched.readInt16BE(at + layout.ATTRIBUTES_AT);
    const baseOffset = Number(fetched.readBigInt64BE(at));
    batches.push({
      baseOffset,
      nextOffset: baseOffset + fetched.readInt32BE(at + layout.LAST_OFFSET_DELTA_AT) + 1,
      producerId: fetched.readBigInt64BE(at + layout.PRODUCER_ID_AT),
      transactional: (attributes & layout.TRANSACTIONAL) !== 0,
      control: (attributes & layout.CONTROL) !== 0,
      count: fetched.readInt32BE(at + layout.COUNT_AT),
      bytes: fetched.subarray(at, end),
    });
    at = end;
  }
  return batches;
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
    /** Whether the batch alone owns the data. */
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

  keyStart(i: number): number {
    return this.#field(i, 2);
  }

  keyEnd(i: number): number {
    return this.#field(i, 3);
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

  /** Frees the decompressed memory. A batch that was not compressed is a view into the fetched bytes, which have their own `release`. */
  release(): void {
    if (this.#owned) release(this.data);
  }

  #field(i: number, field: number): number {
    return this.#index[i * FIELDS + field] as number;
  }
}

const FIELDS = 6;

/**
 * Checks, decompresses and indexes a batch. Throws `corrupt`. Here and not on another thread: that costs a tenth of a
 * millisecond more, which is more than most batches take, and replay has its own threads.
 */
export function openBatch(batch: RawBatch): RecordSet {
  const { bytes } = batch;
  if (crc32c(bytes.subarray(layout.ATTRIBUTES_AT)) !== bytes.readUInt32BE(layout.CRC_AT)) {
    throw new HeadwaterError(
      'corrupt',
      `the batch at offset ${batch.baseOffset} does not match its checksum`,
    );
  }
  const codec = bytes.readInt16BE(layout.ATTRIBUTES_AT) & layout.CODEC_MASK;
  const data = decompress(codec, bytes.subarray(layout.HEADER_BYTES));
  const index = new Float64Array(batch.count * FIELDS);
  let at = 0;
  for (let i = 0; i < index.length; i += FIELDS) {
    const length = readVarint(data, at);
    const end = varintEnd + length;
    index[i + 1] = readVarint(data, varintEnd + 1); // after the attributes
    index[i] = readVarint(data, varintEnd);
    const keyLength = readVarint(data, varintEnd);
    index[i + 2] = varintEnd;
    index[i + 3] = varintEnd + Math.max(0, keyLength);
    const valueLength = readVarint(data, varintEnd + Math.max(0, keyLength));
    index[i + 4] = varintEnd;
    index[i + 5] = varintEnd + Math.max(0, valueLength);
    at = end;
  }
  const baseTimestamp = Number(bytes.readBigInt64BE(layout.BASE_TIMESTAMP_AT));
  return new RecordSet({ data, owned: codec !== 0, index, baseOffset: batch.baseOffset, baseTimestamp });
}

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

function decompress(codec: number, data: Buffer): Buffer {
  if (codec === 0) return data;
  // One byte more than the content, or zlib reserves as much again to see whether anything follows.
  if (codec === layout.ZSTD)
    return zstdDecompressSync(data, { chunkSize: Math.max(1024, zstdContentSize(data) + 1) });
  if (codec === 1) return gunzipSync(data);
  throw new HeadwaterError(
    'unsupported',
    `record batches are compressed with ${CODECS[codec] ?? `codec ${codec}`}, which is not read; set the topic's compression.type to producer and make it again`,
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
  return Math.min(MAX_RESERVED, bytes === 2 ? size + 256 : size);
}
