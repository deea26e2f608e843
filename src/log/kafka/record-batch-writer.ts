import { constants, zstdCompress } from 'node:zlib';
import { promisify } from 'node:util';
import { crc32c } from '@node-rs/crc32';
import { release } from '../../base/buffers.ts';
import type { ProducerIdentity } from './protocol.ts';
import * as layout from './record-batch.ts';
import { varintBytes, writeVarint } from './varints.ts';

/** Bytes a record needs beside its key and value: attributes and five varints, none longer than 10 bytes together 40. */
const RECORD_OVERHEAD = 40;

const compress = promisify(zstdCompress) as (data: Buffer, options: object) => Promise<Buffer>;

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
    const batch = Buffer.allocUnsafe(layout.HEADER_BYTES + body.length);
    batch.writeBigInt64BE(0n, 0);
    batch.writeInt32BE(batch.length - layout.LENGTH_AT - 4, layout.LENGTH_AT);
    batch.writeInt32BE(-1, 12);
    batch.writeInt8(2, layout.MAGIC_AT);
    batch.writeInt16BE(layout.ZSTD | layout.TRANSACTIONAL, layout.ATTRIBUTES_AT);
    batch.writeInt32BE(this.#count - 1, layout.LAST_OFFSET_DELTA_AT);
    batch.writeBigInt64BE(BigInt(this.#firstTimestamp), layout.BASE_TIMESTAMP_AT);
    batch.writeBigInt64BE(BigInt(this.#maxTimestamp), layout.MAX_TIMESTAMP_AT);
    batch.writeBigInt64BE(producer.producerId, layout.PRODUCER_ID_AT);
    batch.writeInt16BE(producer.producerEpoch, layout.PRODUCER_EPOCH_AT);
    batch.writeInt32BE(sequence, layout.SEQUENCE_AT);
    batch.writeInt32BE(this.#count, layout.COUNT_AT);
    batch.set(body, layout.HEADER_BYTES);
    release(body);
    batch.writeUInt32BE(crc32c(batch.subarray(layout.ATTRIBUTES_AT)), layout.CRC_AT);
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
