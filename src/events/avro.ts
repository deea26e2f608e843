import avsc from 'avsc';
import type { Schema, Type } from 'avsc';
import { LSN } from '../../topics/records.ts';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import type { AvroSchema } from '../../topics/avro-schema.ts';
import type { SubjectSchemas } from './schema-ids.ts';

/** Confluent's wire format: a zero byte and the schema's id as int32, then the Avro bytes. */
export const HEADER_BYTES = 5;

export function writeHeader(bytes: Buffer, schemaId: number): void {
  bytes[0] = 0;
  bytes.writeInt32BE(schemaId, 1);
}

export function schemaIdOf(bytes: Buffer): number {
  if (bytes.length < HEADER_BYTES || bytes[0] !== 0) {
    throw new HeadwaterError('corrupt', 'a record is not in Confluent wire format');
  }
  return bytes.readInt32BE(1);
}

const fitsLong = (value: unknown): boolean => typeof value === 'bigint' && BigInt.asIntN(64, value) === value;

/** avsc's own long refuses values that a double cannot hold exactly. An LSN may be such a value, so it is a bigint. */
const bigintLong = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: (value: number | string) => BigInt(value),
  toJSON: String,
  isValid: fitsLong,
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
});

function isLsn(schema: unknown): boolean {
  return (
    typeof schema === 'object' && schema !== null && 'logicalType' in schema && schema.logicalType === LSN
  );
}

/** A long marked as LSN is a bigint, every other one a number. */
export function avroType(schema: AvroSchema): Type {
  return avsc.Type.forSchema(schema as Schema, {
    typeHook: (inner) => (isLsn(inner) ? bigintLong : undefined),
  });
}

/** Encodes and decodes the values of avsc with the framing. It decodes the records of every registered version. */
export class AvroFrame {
  readonly #type: Type;
  readonly #schemas: SubjectSchemas;
  readonly #readers = new Map<number, (payload: Buffer) => unknown>();

  constructor(schema: AvroSchema, schemas: SubjectSchemas) {
    this.#type = avroType(schema);
    this.#schemas = schemas;
    this.#readers.set(schemas.id, (payload) => this.#type.fromBuffer(payload) as unknown);
  }

  encode(value: unknown): Buffer {
    const payload = this.#type.toBuffer(value);
    const bytes = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
    writeHeader(bytes, this.#schemas.id);
    payload.copy(bytes, HEADER_BYTES);
    return bytes;
  }

  decode(bytes: Buffer): unknown {
    const id = schemaIdOf(bytes);
    const read = this.#reader(id);
    try {
      return read(bytes.subarray(HEADER_BYTES));
    } catch (error) {
      throw new HeadwaterError('corrupt', `a record of schema ${id} cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  #reader(id: number): (payload: Buffer) => unknown {
    const known = this.#readers.get(id);
    if (known) return known;
    const schema = this.#schemas.writers.get(id);
    if (schema === undefined) {
      // A newer process may have registered it meanwhile; the next start of the role learns of it.
      throw new HeadwaterError(
        'unavailable',
        `schema ${id} of a record was not registered when this process started`,
      );
    }
    const writer = avroType(schema);
    const resolver = this.#type.createResolver(writer);
    const read = (payload: Buffer): unknown => this.#type.fromBuffer(payload, resolver);
    this.#readers.set(id, read);
    return read;
  }
}
