import { resourceChangeSchema } from '../../topics/resources.ts';
import { isObject } from '../base/is-object.ts';
import { patientsOf } from '../fhir/patient-compartment.ts';
import { RELATIVE_REFERENCES } from '../fhir/reference.ts';
import type { References } from '../fhir/reference.ts';
import { HeadwaterError } from '../base/errors.ts';
import { lsn, stamp } from '../base/positions.ts';
import type { Stamp } from '../base/positions.ts';
import { AvroFrame, HEADER_BYTES, schemaIdOf, writeHeader } from './avro.ts';
import { AvroReader } from './avro-reader.ts';
import { AvroWriter } from './avro-writer.ts';
import { MANY_PATIENTS } from './resource-change.ts';
import type { Operation, ResourceChange } from './resource-change.ts';
import { schemasOf } from './schema-ids.ts';
import type { Codec, SchemaIds } from './schema-ids.ts';

const OPERATIONS: readonly Operation[] = ['snapshot', 'create', 'update', 'delete'];
const OPERATION_INDEX: Readonly<Record<Operation, number>> = { snapshot: 0, create: 1, update: 2, delete: 3 };

const NO_SCRATCH = Buffer.alloc(0);

/** The metadata that replay's decisions depend on, and the place of the body. */
export interface ChangePeek {
  readonly operation: Operation;
  readonly stamp: Stamp;
  /** The body is `bytes.subarray(bodyStart, bodyEnd)`; both are -1 when there is none. */
  readonly bytes: Buffer;
  readonly bodyStart: number;
  readonly bodyEnd: number;
}

/**
 * Encodes and decodes resource changes. Every byte of every resource passes this codec, so it is written by hand for the schema of this
 * process. Records of other versions are decoded by avsc and converted first.
 */
export class ResourceChangeCodec implements Codec<ResourceChange> {
  readonly #id: number;
  readonly #references: References;
  readonly #frame: AvroFrame;
  readonly #writer = new AvroWriter();
  readonly #reader = new AvroReader();

  /** @param references finds the patients in a body, if they are too many for the record to name them */
  constructor(ids: SchemaIds, references: References = RELATIVE_REFERENCES) {
    this.#references = references;
    const schemas = schemasOf(ids, 'resources');
    this.#id = schemas.id;
    this.#frame = new AvroFrame(resourceChangeSchema, schemas);
  }

  /**
   * Copies the body once. The result shares no memory with the change.
   * @param scratch memory for the result, if it fits into it
   */
  encode(change: ResourceChange, scratch = NO_SCRATCH): Buffer {
    const { body } = change;
    const head = this.#encodeHead(change);
    const length = HEADER_BYTES + head.length + (body === null ? 0 : body.length);
    const bytes = length <= scratch.length ? scratch.subarray(0, length) : Buffer.allocUnsafe(length);
    writeHeader(bytes, this.#id);
    head.copyTo(bytes, HEADER_BYTES);
    if (body !== null) bytes.set(body, HEADER_BYTES + head.length);
    return bytes;
  }

  /** The body is a view into the given bytes. */
  decode(bytes: Buffer): ResourceChange {
    const reader = this.#open(bytes);
    const operation = readOperation(reader);
    const change: ResourceChange = {
      operation,
      stamp: stamp(reader.long()),
      lsn: lsn(reader.bigLong()),
      versionId: reader.present() ? reader.string() : null,
      lastUpdated: reader.present() ? reader.long() : null,
      oversizeBytes: reader.present() ? reader.long() : null,
      patients: reader.strings(),
      leftPatients: reader.strings(),
      problem: reader.present() ? reader.string() : null,
      body: reader.present() ? reader.bytes() : null,
    };
    reader.end();
    return change.body !== null && change.patients[0] === MANY_PATIENTS ? this.#withPatients(change) : change;
  }

  /** Parses the body only when a caller asks for its patients. */
  #withPatients(change: ResourceChange): ResourceChange {
    const references = this.#references;
    let patients: readonly string[] | undefined;
    return Object.defineProperty({ ...change }, 'patients', {
      enumerable: true,
      get: () => (patients ??= patientsIn(change, references)),
    });
  }

  /** Reads the operation and the stamp, and finds the body; allocates nothing else. */
  peek(bytes: Buffer): ChangePeek {
    const reader = this.#open(bytes);
    const operation = readOperation(reader);
    const at = stamp(reader.long());
    reader.skipLong();
    if (reader.present()) reader.skipBytes();
    if (reader.present()) reader.skipLong();
    if (reader.present()) reader.skipLong();
    reader.skipStrings();
    reader.skipStrings();
    if (reader.present()) reader.skipBytes();
    let bodyStart = -1;
    let bodyEnd = -1;
    if (reader.present()) {
      const length = reader.long();
      bodyStart = reader.position;
      bodyEnd = bodyStart + length;
      reader.position = bodyEnd;
    }
    reader.end();
    return { operation, stamp: at, bytes: reader.buffer, bodyStart, bodyEnd };
  }

  /** Moves to the operation of a record of the current schema. */
  #open(bytes: Buffer): AvroReader {
    const current = schemaIdOf(bytes) === this.#id ? bytes : this.#frame.encode(this.#frame.decode(bytes));
    this.#reader.open(current, HEADER_BYTES);
    return this.#reader;
  }

  /** Everything up to the body's first byte. */
  #encodeHead(change: ResourceChange): AvroWriter {
    const writer = this.#writer;
    writer.reset();
    writer.long(OPERATION_INDEX[change.operation]);
    writer.long(change.stamp);
    writer.bigLong(change.lsn);
    if (writer.present(change.versionId !== null)) writer.string(change.versionId ?? '');
    if (writer.present(change.lastUpdated !== null)) writer.long(change.lastUpdated ?? 0);
    if (writer.present(change.oversizeBytes !== null)) writer.long(change.oversizeBytes ?? 0);
    writer.strings(change.patients);
    writer.strings(change.leftPatients);
    if (writer.present(change.problem !== null)) writer.string(change.problem ?? '');
    if (writer.present(change.body !== null)) writer.long(change.body?.length ?? 0);
    return writer;
  }
}

/** Capture lets only a body pass that names its own type and id. */
function patientsIn({ body, patients }: ResourceChange, references: References): readonly string[] {
  const resource = parsed(Buffer.from(body ?? []).toString());
  if (!isObject(resource)) return patients;
  return patientsOf(String(resource['resourceType']), String(resource['id']), resource, references);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new HeadwaterError('corrupt', 'it is not JSON'); // the error's message would quote it
  }
}

function readOperation(reader: AvroReader): Operation {
  const index = reader.long();
  const operation = OPERATIONS[index];
  if (operation === undefined)
    throw new HeadwaterError('corrupt', `a resource change has the unknown operation ${index}`);
  return operation;
}
