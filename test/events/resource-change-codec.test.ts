import assert from 'node:assert/strict';
import avsc from 'avsc';
import fc from 'fast-check';
import { resourceChangeSchema } from '../../topics/resources.ts';
import { HeadwaterError } from '../../src/base/errors.ts';
import { lsn, stamp } from '../../src/base/positions.ts';
import { avroType } from '../../src/events/avro.ts';
import { ResourceChangeCodec } from '../../src/events/resource-change-codec.ts';
import { MANY_PATIENTS } from '../../src/events/resource-change.ts';
import type { Operation, ResourceChange } from '../../src/events/resource-change.ts';
import type { SchemaIds } from '../../src/events/schema-ids.ts';

const ID = 7;
const OLDER = 3;
const type = avroType(resourceChangeSchema);

/** What an older version without the compartments would have written, in another order. */
const olderSchema = {
  type: 'record',
  name: 'ResourceChange',
  namespace: 'headwater',
  fields: [
    { name: 'body', type: ['null', 'bytes'] },
    { name: 'leftPatients', type: { type: 'array', items: 'string' } },
    { name: 'patients', type: { type: 'array', items: 'string' } },
    { name: 'oversizeBytes', type: ['null', 'long'] },
    { name: 'lastUpdated', type: ['null', 'long'] },
    { name: 'versionId', type: ['null', 'string'] },
    { name: 'lsn', type: 'long' },
    { name: 'stamp', type: 'long' },
    {
      name: 'operation',
      type: { type: 'enum', name: 'Operation', symbols: ['delete', 'update', 'create', 'snapshot'] },
    },
  ],
} as const;

const ids: SchemaIds = new Map([
  ['resources', { id: ID, writers: new Map([[ID, resourceChangeSchema], [OLDER, olderSchema]]) }], // prettier-ignore
]);

const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record<T>(model, { noNullPrototype: true });
/** avsc itself is exact up to 52 bits. */
const longs = fc.integer({ min: -(2 ** 52) + 1, max: 2 ** 52 - 1 });

const changes: fc.Arbitrary<ResourceChange> = record({
  operation: fc.constantFrom<Operation>('snapshot', 'create', 'update', 'delete'),
  stamp: fc.oneof(longs, fc.integer({ min: 0, max: 2e12 })).map(stamp),
  lsn: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), fc.bigInt({ min: 0n, max: 2n ** 40n })).map(lsn),
  versionId: fc.option(fc.string({ unit: 'binary', maxLength: 100 })),
  lastUpdated: fc.option(fc.integer({ min: -1e12, max: 2e12 })),
  oversizeBytes: fc.option(fc.nat()),
  patients: fc.array(
    fc.oneof(
      fc.uuid(),
      fc.string({ unit: 'grapheme' }).filter((id) => id !== MANY_PATIENTS),
    ),
  ),
  leftPatients: fc.array(fc.uuid()),
  problem: fc.option(fc.string()),
  body: fc.option(fc.uint8Array({ maxLength: 5000 }).map((bytes) => Buffer.from(bytes))),
});

function framed(id: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.writeInt32BE(id, 1);
  return Buffer.concat([header, payload]);
}

describe('ResourceChangeCodec', () => {
  const codec = new ResourceChangeCodec(ids);

  it('writes what avsc writes', () => {
    fc.assert(
      fc.property(changes, (change) => {
        assert.deepEqual(codec.encode(change), framed(ID, type.toBuffer(change)));
      }),
      { numRuns: 1000 },
    );
  });

  it('reads back what it wrote, with the body as a view', () => {
    fc.assert(
      fc.property(changes, (change) => {
        const bytes = codec.encode(change);
        const read = codec.decode(bytes);
        assert.deepEqual(read, change);
        if (read.body) assert.equal(read.body.buffer, bytes.buffer);
      }),
      { numRuns: 1000 },
    );
  });

  it('peeks at operation, stamp and the place of the body', () => {
    fc.assert(
      fc.property(changes, (change) => {
        const peek = codec.peek(codec.encode(change));
        assert.equal(peek.operation, change.operation);
        assert.equal(peek.stamp, change.stamp);
        if (change.body === null) assert.deepEqual([peek.bodyStart, peek.bodyEnd], [-1, -1]);
        else assert.deepEqual(peek.bytes.subarray(peek.bodyStart, peek.bodyEnd), change.body);
      }),
    );
  });

  it('reads and peeks at what another version of the schema wrote', () => {
    const older = avsc.Type.forSchema(olderSchema as unknown as avsc.Type);
    fc.assert(
      fc.property(changes, (change) => {
        const bytes = framed(OLDER, older.toBuffer({ ...change, lsn: 42 }));
        assert.deepEqual(codec.decode(bytes), { ...change, lsn: 42n, problem: null });
        const peek = codec.peek(bytes);
        assert.equal(peek.stamp, change.stamp);
        assert.equal(peek.operation, change.operation);
        if (change.body) assert.deepEqual(peek.bytes.subarray(peek.bodyStart, peek.bodyEnd), change.body);
      }),
    );
  });

  it('reads arrays written in several blocks, with and without their size', () => {
    const change = { ...sample(), patients: ['a', 'b', 'c'], leftPatients: [], body: null };
    const plain = codec.encode(change);
    const patients = Buffer.from([6, 2, 97, 2, 98, 2, 99, 0]);
    const at = plain.lastIndexOf(patients);
    const blocks = Buffer.from([3, 8, 2, 97, 2, 98, 2, 2, 99, 0]); // -2 items of 4 bytes, then 1 item
    const rewritten = Buffer.concat([plain.subarray(0, at), blocks, plain.subarray(at + patients.length)]);
    assert.deepEqual(codec.decode(rewritten), change);
    assert.equal(codec.peek(rewritten).stamp, change.stamp);
  });

  it('refuses every truncation and what is not in wire format', () => {
    const bytes = codec.encode(sample());
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => codec.decode(bytes.subarray(0, length)), isCorrupt, `decode of ${length} bytes`);
      assert.throws(() => codec.peek(bytes.subarray(0, length)), isCorrupt, `peek at ${length} bytes`);
    }
    assert.throws(() => codec.decode(Buffer.concat([bytes, Buffer.from([0])])), isCorrupt);
    assert.throws(() => codec.decode(Buffer.from('{"resourceType":"Patient"}')), isCorrupt);
  });

  it('never hangs or answers with anything but corrupt on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        for (const read of [(b: Buffer) => codec.decode(b), (b: Buffer) => codec.peek(b)]) {
          try {
            read(framed(ID, Buffer.from(bytes)));
          } catch (error) {
            assert.ok(isCorrupt(error), String(error));
          }
        }
      }),
      { numRuns: 5000 },
    );
  });

  it('says unavailable, to be tried again, for a schema it has not heard of', () => {
    const bytes = framed(99, codec.encode(sample()).subarray(5));
    assert.throws(
      () => codec.decode(bytes),
      (error) => error instanceof HeadwaterError && error.code === 'unavailable' && error.retryable,
    );
  });
});

function sample(): ResourceChange {
  return {
    operation: 'update',
    stamp: stamp(1_790_000_000_123),
    lsn: lsn(0x16b374d848n),
    versionId: '3',
    lastUpdated: 1_790_000_000_000,
    oversizeBytes: null,
    patients: ['0b0a4bd5-4f0c-4a5a-8b57-0a3a5d1c9b11'],
    leftPatients: ['ü'],
    problem: null,
    body: Buffer.from('{"resourceType":"Observation"}'),
  };
}

function isCorrupt(error: unknown): boolean {
  return error instanceof HeadwaterError && error.code === 'corrupt';
}
