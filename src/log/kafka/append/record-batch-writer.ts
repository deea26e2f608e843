import { constants, zstdCompress } from 'node:zlib';
import { promisify } from 'node:util';
import { crc32c } from '@node-rs/crc32';
import { release } from '../../../base/buffers.ts';
import type { ProducerIdentity } from '../wire/protocol-write.ts';
import * as layout from '../wire/record-batch.ts';
import { varintBytes, writeVarint } from '../wire/varints.ts';

/** Bytes a record needs beside its key and value: attributes and five varints, none longer than 10 bytes together 40. */
const RECORD_OVERHEAD = 40;

const NO_HEADERS: Headers = {};

const compress = promisify(zstdCompress) as (data: Buffer, options: object) => Promise<Buffer>;

type Headers = Readonly<Record<string, string>>;

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
  add(timestamp: number, key: Uint8Array, value: Uint8Array, headers: Headers = NO_HEADERS): void {
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
      headersBytes(headers);
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
    this.#end = writeHeaders(buffer, at, headers);
    this.#count++;
  }

  /** Returns the finished batch, compressed on another thread. `claim` it before it is sent. */
  async finish(codec: 'zstd' | 'none' = 'zstd'): Promise<Buffer> {
    const raw = this.#buffer.subarray(0, this.#end);
    const body = codec === 'none' ? raw : await zstd(raw);
    const batch = Buffer.allocUnsafe(layout.HEADER_BYTES + body.length);
    batch.writeBigInt64BE(0n, 0);
    batch.writeInt32BE(batch.length - layout.LENGTH_AT - 4, layout.LENGTH_AT);
    batch.writeInt32BE(-1, 12);
    batch.writeInt8(2, layout.MAGIC_AT);
    batch.writeInt16BE(codec === 'none' ? 0 : layout.ZSTD, layout.ATTRIBUTES_AT);
    batch.writeInt32BE(this.#count - 1, layout.LAST_OFFSET_DELTA_AT);
    batch.writeBigInt64BE(BigInt(this.#firstTimestamp), layout.BASE_TIMESTAMP_AT);
    batch.writeBigInt64BE(BigInt(this.#maxTimestamp), layout.MAX_TIMESTAMP_AT);
    batch.writeInt32BE(this.#count, layout.COUNT_AT);
    batch.set(body, layout.HEADER_BYTES);
    if (body !== raw) release(body);
    release(this.#buffer);
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

/** Writes the producer of the batch and its checksum. `sequence` is the number of the first record. */
export function claim(
  batch: Buffer,
  producer: ProducerIdentity & { readonly transactional: boolean },
  sequence: number,
): void {
  const codec = batch.readInt16BE(layout.ATTRIBUTES_AT) & layout.CODEC_MASK;
  batch.writeInt16BE(codec | (producer.transactional ? layout.TRANSACTIONAL : 0), layout.ATTRIBUTES_AT);
  batch.writeBigInt64BE(producer.producerId, layout.PRODUCER_ID_AT);
  batch.writeInt16BE(producer.producerEpoch, layout.PRODUCER_EPOCH_AT);
  batch.writeInt32BE(sequence, layout.SEQUENCE_AT);
  batch.writeUInt32BE(crc32c(batch.subarray(layout.ATTRIBUTES_AT)), layout.CRC_AT);
}

/** Sequence numbers go from 0 to 2^31 - 1 and begin again. */
export function sequenceAfter(sequence: number, count: number): number {
  return (sequence + count) & 0x7fffffff;
}

function zstd(raw: Buffer): Promise<Buffer> {
  return compress(raw, {
    params: { [constants.ZSTD_c_compressionLevel]: 1 },
    chunkSize: Math.max(1024, (raw.length >> 2) + 1024),
    pledgedSrcSize: raw.length, // then the frame holds its size
  });
}

function headersBytes(headers: Headers): number {
  let count = 0;
  let bytes = 0;
  for (const name in headers) {
    bytes += textBytes(name) + textBytes(headers[name] ?? '');
    count++;
  }
  return varintBytes(count) + bytes;
}

function textBytes(text: string): number {
  const length = Buffer.byteLength(text);
  return varintBytes(length) + length;
}

function writeHeaders(buffer: Buffer, from: number, headers: Headers): number {
  const all = Object.entries(headers);
  let at = writeVarint(buffer, from, all.length);
  for (const text of all.flat()) {
    at = writeVarint(buffer, at, Buffer.byteLength(text));
    at += buffer.write(text, at);
  }
  return at;
}
