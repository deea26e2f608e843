import { HeadwaterError } from '../base/errors.ts';
import { lsn } from '../base/positions.ts';
import type { Lsn } from '../base/positions.ts';

/**
 * Decodes pgoutput, protocol version 1 (PostgreSQL's documentation, "Logical Replication Message Formats"). Values stay
 * bytes: a resource's body must reach the log as the source has it.
 */

/** `null` is SQL null. `undefined` is a large value that the update did not change, so PostgreSQL did not send it. */
export type ColumnValue = Buffer | null | undefined;
export type Tuple = readonly ColumnValue[];

export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  /** Whether the stream has whole old rows (REPLICA IDENTITY FULL). */
  readonly fullIdentity: boolean;
  readonly columns: readonly string[];
}

export type WalMessage =
  | { readonly kind: 'begin'; readonly commitLsn: Lsn; readonly commitTime: number; readonly xid: number }
  | { readonly kind: 'commit'; readonly endLsn: Lsn }
  | { readonly kind: 'relation'; readonly relation: Relation }
  | { readonly kind: 'insert'; readonly oid: number; readonly row: Tuple }
  | { readonly kind: 'update'; readonly oid: number; readonly old: Tuple | undefined; readonly row: Tuple }
  | { readonly kind: 'delete'; readonly oid: number; readonly old: Tuple }
  | { readonly kind: 'truncate'; readonly oids: readonly number[] }
  | {
      readonly kind: 'message';
      readonly transactional: boolean;
      readonly prefix: string;
      readonly content: Buffer;
    };

const EPOCH_2000 = 946_684_800_000;

/** ms since 1970 of PostgreSQL's microseconds since 2000. */
export function fromPostgresTime(microseconds: bigint): number {
  return Number(microseconds / 1000n) + EPOCH_2000;
}

/** Returns undefined for a message without data (origin, type). Throws `unsupported`. */
export function decodeWalMessage(data: Buffer): WalMessage | undefined {
  const reader = new ByteReader(data);
  const tag = reader.byte();
  switch (tag) {
    case 0x42: // B
      return {
        kind: 'begin',
        commitLsn: lsn(reader.int64()),
        commitTime: fromPostgresTime(reader.int64()),
        xid: reader.int32(),
      };
    case 0x43: // C
      reader.skip(9); // flags, commit LSN
      return { kind: 'commit', endLsn: lsn(reader.int64()) };
    case 0x52: // R
      return { kind: 'relation', relation: decodeRelation(reader) };
    case 0x49: // I
      return { kind: 'insert', oid: reader.int32(), row: (reader.skip(1), decodeTuple(reader)) };
    case 0x55: // U
      return decodeUpdate(reader);
    case 0x44: // D
      return { kind: 'delete', oid: reader.int32(), old: (reader.skip(1), decodeTuple(reader)) };
    case 0x54: // T
      return decodeTruncate(reader);
    case 0x4d: // M
      return decodeMessage(reader);
    case 0x4f: // O, origin
    case 0x59: // Y, type
      return undefined;
    default:
      throw new HeadwaterError('unsupported', `pgoutput sent a message of kind ${String.fromCharCode(tag)}`);
  }
}

function decodeRelation(reader: ByteReader): Relation {
  const oid = reader.int32();
  const schema = reader.text();
  const table = reader.text();
  const fullIdentity = reader.byte() === 0x66; // f
  const columns: string[] = [];
  for (let count = reader.int16(); count > 0; count--) {
    reader.skip(1); // part of the key
    columns.push(reader.text());
    reader.skip(8); // type, modifier
  }
  return { oid, schema: schema === '' ? 'pg_catalog' : schema, table, fullIdentity, columns };
}

function decodeUpdate(reader: ByteReader): WalMessage {
  const oid = reader.int32();
  let tag = reader.byte();
  let old: Tuple | undefined;
  if (tag !== 0x4e /* N */) {
    old = decodeTuple(reader);
    tag = reader.byte();
  }
  return { kind: 'update', oid, old, row: decodeTuple(reader) };
}

function decodeTruncate(reader: ByteReader): WalMessage {
  const count = reader.int32();
  reader.skip(1); // cascade, restart identity
  return { kind: 'truncate', oids: Array.from({ length: count }, () => reader.int32()) };
}

function decodeMessage(reader: ByteReader): WalMessage {
  const transactional = reader.byte() === 1;
  reader.skip(8); // LSN of the message
  const prefix = reader.text();
  return { kind: 'message', transactional, prefix, content: reader.bytes(reader.int32()) };
}

function decodeTuple(reader: ByteReader): Tuple {
  const count = reader.int16();
  const values = new Array<ColumnValue>(count);
  for (let i = 0; i < count; i++) {
    const tag = reader.byte();
    if (tag === 0x74 /* t */) values[i] = reader.bytes(reader.int32());
    else if (tag === 0x6e /* n */) values[i] = null;
    else if (tag === 0x75 /* u */) values[i] = undefined;
    else
      throw new HeadwaterError('unsupported', `pgoutput sent a column of kind ${String.fromCharCode(tag)}`);
  }
  return values;
}

class ByteReader {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  byte(): number {
    return this.#data.readUInt8(this.#at++);
  }

  int16(): number {
    this.#at += 2;
    return this.#data.readUInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#data.readUInt32BE(this.#at - 4);
  }

  int64(): bigint {
    this.#at += 8;
    return this.#data.readBigInt64BE(this.#at - 8);
  }

  bytes(length: number): Buffer {
    this.#at += length;
    return this.#data.subarray(this.#at - length, this.#at);
  }

  /** Null-terminated. */
  text(): string {
    const end = this.#data.indexOf(0, this.#at);
    const text = this.#data.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return text;
  }
}
