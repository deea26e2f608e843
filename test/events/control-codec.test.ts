import assert from 'node:assert/strict';
import fc from 'fast-check';
import { allTopics } from '../../topics/all.ts';
import { HeadwaterError } from '../../src/base/errors.ts';
import { lsn, offset, stamp } from '../../src/base/positions.ts';
import type { Cut, Epoch } from '../../src/base/positions.ts';
import type { Announced } from '../../src/events/announced.ts';
import type { Command } from '../../src/events/commands.ts';
import { controlCodecs } from '../../src/events/control-codec.ts';
import type { ExportEvent, ExportEventKind } from '../../src/events/export-event.ts';
import { cloudEventHeaders } from '../../src/events/export-event.ts';
import { EMPTY_POSITION } from '../../src/events/position.ts';
import type { Position } from '../../src/events/position.ts';
import type { ExportParameters } from '../../src/events/request.ts';
import type { Codec, SchemaIds } from '../../src/events/schema-ids.ts';
import type { ExportFile, StatusEvent } from '../../src/events/status.ts';
import type { Task } from '../../src/events/tasks.ts';

const ids: SchemaIds = new Map(
  allTopics.map(({ subject, schema }, i) => [subject, { id: i + 1, writers: new Map([[i + 1, schema]]) }]),
);
const codecs = controlCodecs(ids, 'a secret of the tests that seals records');

const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record<T>(model, { noNullPrototype: true });
const text = fc.string({ unit: 'grapheme', maxLength: 30 });
const ms = fc.integer({ min: 0, max: 4e12 });
/** avsc is exact up to 52 bits. */
const longs = fc.integer({ min: -(2 ** 52) + 1, max: 2 ** 52 - 1 });
const stamps = longs.map(stamp);
const offsets = longs.map((n) => offset(Math.abs(n)));
const lsns = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(lsn);
const size = fc.nat();
const optional = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(values, { nil: undefined });
const lane = fc.constantFrom('quick' as const, 'bulk' as const);
const outputFormat = fc.constantFrom('ndjson' as const, 'ndjson+gzip' as const);
const parameters: fc.Arbitrary<ExportParameters> = record({
  level: fc.constantFrom('system' as const, 'patient' as const, 'group' as const),
  group: optional(text),
  patients: fc.array(text),
  types: fc.array(text),
  since: optional(text),
  until: optional(text),
  outputFormat,
  typeFilters: fc.array(text),
  elements: fc.array(text),
  provenance: fc.constantFrom('in-scope' as const, 'relevant' as const, 'latest' as const),
  organizeBy: optional(text),
  partialManifests: fc.boolean(),
  separateStatus: fc.boolean(),
  binary: fc.boolean(),
  container: optional(text),
  deidentify: optional(text),
  warnings: fc.array(text),
});
const file: fc.Arbitrary<ExportFile> = record({
  kind: fc.constantFrom('output' as const, 'deleted' as const, 'error' as const),
  type: text,
  key: text,
  count: size,
  bytes: size,
  sha256: text,
});
const epoch: fc.Arbitrary<Epoch> = record({ id: text, began: stamps });
const cut: fc.Arbitrary<Cut> = record({
  lsn: lsns,
  time: stamps,
  reloaded: optional(stamps),
  epoch: optional(epoch),
  ends: fc.uniqueArray(
    fc.tuple(text, fc.array(offsets), fc.double({ min: 0, max: 1e9, noNaN: true }), text),
    {
      selector: ([type]) => type,
    },
  ),
}).map(({ ends, epoch: one, ...rest }) => ({
  ...rest,
  ...(one && { epoch: one }),
  ends: new Map(ends.map(([type, list]) => [type, list])),
  meanBytes: new Map(ends.flatMap(([type, , mean]) => (mean > 0 ? [[type, mean]] : []))),
  topicIds: new Map(ends.flatMap(([type, , , id]) => (id === '' ? [] : [[type, id]]))),
}));

const commands: fc.Arbitrary<Command> = fc.oneof(
  record({
    kind: fc.constant('ExportRequested' as const),
    jobId: text,
    clientId: text,
    acceptedAt: ms,
    requestUrl: text,
    parameters,
    cut,
  }),
  record({ kind: fc.constant('ExportCancelRequested' as const), jobId: text, cancelledAt: ms }),
);

const offsetRange = record({ from: offsets, to: offsets });
const ranges = fc.array(
  record({ type: text, partition: fc.nat(1000), from: offsets, to: offsets, gaps: fc.array(offsetRange) }),
);
const related = fc.constantFrom(
  'target-in-scope' as const,
  'target-returned' as const,
  'latest-of-returned' as const,
  'referenced' as const,
);

const tasks: fc.Arbitrary<Task> = record({
  jobId: text,
  taskId: text,
  lane,
  folder: text,
  outputFormat,
  layout: fc.constantFrom('flat' as const, 'hive' as const),
  ranges,
  filter: record({
    since: optional(stamps),
    until: optional(stamps),
    scope: optional(
      record({
        group: optional(text),
        groupEnds: fc.array(offsets),
        time: stamps,
        patients: fc.array(text),
        command: optional(record({ partition: fc.nat(1000), offset: offsets })),
      }).map((scope) => ({ ...scope, patients: scope.command ? [] : scope.patients })),
    ),
    typeFilters: fc.array(text),
    elements: fc.array(text),
    everyPatient: fc.boolean(),
  }),
  related: optional(record({ by: related, ranges })),
  organized: optional(record({ by: text, slice: fc.nat(99), of: fc.nat(99) })),
  warnings: fc.array(text),
  topicIds: fc.dictionary(text, text).map((ids) => new Map(Object.entries(ids))),
  plannedBytes: size,
});

const base = { jobId: text, at: ms };
const statusEvents: fc.Arbitrary<StatusEvent> = fc.oneof(
  record({
    ...base,
    kind: fc.constant('ExportPlanned' as const),
    clientId: text,
    acceptedAt: ms,
    requestUrl: text,
    parameters,
    folder: text,
    transactionTime: stamps,
    lsn: lsns,
    tasks: fc.array(record({ taskId: text, lane, plannedBytes: size })),
    epoch: text,
  }),
  record({ ...base, kind: fc.constant('ExportFailed' as const), code: text, message: text }),
  record({ ...base, kind: fc.constant('ExportCancelled' as const) }),
  record({ ...base, kind: fc.constant('ExportExpired' as const) }),
  record({ ...base, kind: fc.constant('TaskStarted' as const), taskId: text, worker: text }),
  record({
    ...base,
    kind: fc.constant('TaskProgressed' as const),
    taskId: text,
    fraction: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  record({ ...base, kind: fc.constant('TaskCompleted' as const), taskId: text, files: fc.array(file) }),
  record({ ...base, kind: fc.constant('TaskFailed' as const), taskId: text, code: text, message: text }),
);

const positions: fc.Arbitrary<Position> = record({
  slot: text,
  systemId: text,
  lsn: lsns,
  stamp: stamps,
  timeline: fc.nat(),
  pending: fc.constantFrom('none' as const, 'first-load' as const, 'reload' as const),
  epoch: optional(epoch),
  reloaded: optional(stamps),
  types: fc.array(record({ type: text, records: size, bytes: size })),
  topics: fc.array(record({ type: text, id: text, starts: fc.array(offsets), ends: fc.array(offsets) })),
  coverage: fc.array(record({ subject: text, value: text })),
});

const kinds: readonly ExportEventKind[] = [
  'accepted',
  'started',
  'file-ready',
  'completed',
  'failed',
  'cancelled',
  'expired',
];
const exportEvents: fc.Arbitrary<ExportEvent> = record({
  jobId: text,
  clientId: text,
  requestUrl: text,
  kind: fc.constantFrom(...kinds),
  at: ms,
  transactionTime: optional(text),
  file: optional(file),
  manifest: optional(text),
  failure: optional(record({ code: text, message: text })),
});

const announced: fc.Arbitrary<Announced> = fc
  .dictionary(fc.nat(100).map(String), record({ offset: offsets, n: fc.nat() }))
  .map((places) => new Map(Object.entries(places).map(([partition, place]) => [Number(partition), place])))
  .chain((places) =>
    record({
      places: fc.constant(places),
      audit: record({
        row: fc.nat(),
        seq: fc.nat(),
        hash: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      }),
    }),
  );

function comesBack<T>(codec: Codec<T>, values: fc.Arbitrary<T>): void {
  fc.assert(
    fc.property(values, (value) => {
      assert.deepEqual(codec.decode(codec.encode(value)), value);
    }),
    { numRuns: 300 },
  );
}

describe('the codecs of control records', () => {
  it('give a command back as it was', () => comesBack(codecs.command, commands));
  it('give a task back as it was', () => comesBack(codecs.task, tasks));
  it('give a status event back as it was', () => comesBack(codecs.status, statusEvents));
  it('give a position back as it was', () => comesBack(codecs.position, positions));
  it('give an export event back as it was', () => comesBack(codecs.exportEvent, exportEvents));

  it('give an announcement back as it was', () => comesBack(codecs.announced, announced));

  it('frame with the id of the subject', () => {
    const bytes = codecs.command.encode({ kind: 'ExportCancelRequested', jobId: 'j', cancelledAt: 1 });
    assert.equal(bytes[0], 0);
    assert.equal(bytes.readInt32BE(1), ids.get('commands')?.id);
  });

  it('keep an LSN beyond what a double holds', () => {
    const position: Position = { ...EMPTY_POSITION, lsn: lsn(2n ** 63n - 1n) };
    assert.equal(codecs.position.decode(codecs.position.encode(position)).lsn, 2n ** 63n - 1n);
  });

  it('refuse an LSN that is no long', () => {
    const position: Position = { ...EMPTY_POSITION, lsn: lsn(2n ** 63n) };
    assert.throws(() => codecs.position.encode(position), /BigInt/);
  });

  it('call a truncated record corrupt', () => {
    const bytes = codecs.status.encode({ kind: 'ExportCancelled', jobId: 'job', at: 1 });
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(
        () => codecs.status.decode(bytes.subarray(0, length)),
        (error) => error instanceof HeadwaterError && error.code === 'corrupt',
      );
    }
  });

  it('refuse a command or a task that this installation has not sealed as it is', () => {
    const bytes = codecs.command.encode({ kind: 'ExportCancelRequested', jobId: 'job', cancelledAt: 1 });
    const refused = (codec: Pick<Codec<unknown>, 'decode'>, record: Buffer): void =>
      assert.throws(
        () => codec.decode(record),
        (error) => error instanceof HeadwaterError && error.code === 'forbidden',
      );
    for (let i = 0; i < bytes.length; i++) {
      refused(codecs.command, bytes.subarray(0, i));
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(i) ^ 1, i);
      refused(codecs.command, changed);
    }
    refused(codecs.task, bytes);
    refused(controlCodecs(ids, 'another secret of the tests that seals records').command, bytes);
    assert.throws(
      () => controlCodecs(ids, undefined).command.decode(bytes),
      /HEADWATER_URL_SECRET is missing/,
    );
  });
});

describe('cloudEventHeaders', () => {
  it('name the event as CloudEvents in binary mode does', () => {
    const event: ExportEvent = {
      jobId: 'j1', clientId: 'c', requestUrl: 'u', kind: 'file-ready', at: 0,
      transactionTime: undefined, file: undefined, manifest: undefined, failure: undefined,
    }; // prettier-ignore
    assert.deepEqual(cloudEventHeaders(event, { source: 'https://x/fhir', id: 'j1/2' }), {
      ce_specversion: '1.0',
      ce_id: 'j1/2',
      ce_source: 'https://x/fhir',
      ce_type: 'headwater.export.file-ready',
      ce_time: '1970-01-01T00:00:00.000Z',
      ce_subject: 'j1',
      'content-type': 'application/avro',
    });
  });
});
