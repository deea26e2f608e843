import { announcedSchema } from '../../topics/announced.ts';
import { auditSchema, disclosedSchema } from '../../topics/audit.ts';
import { commandSchema } from '../../topics/commands.ts';
import { exportEventSchema } from '../../topics/exports.ts';
import { positionSchema } from '../../topics/position.ts';
import { NAMESPACE } from '../../topics/records.ts';
import { statusEventSchema } from '../../topics/status.ts';
import { taskSchema } from '../../topics/tasks.ts';
import { zoneSchema } from '../../topics/zones.ts';
import { HeadwaterError } from '../base/errors.ts';
import { lsn, offset, stamp } from '../base/positions.ts';
import type { Cut, Epoch, Stamp } from '../base/positions.ts';
import type { Announced } from './announced.ts';
import type { AuditRecord, Disclosed } from './audit.ts';
import { AvroFrame } from './avro.ts';
import type { AvroSchema } from '../../topics/avro-schema.ts';
import type { Command } from './commands.ts';
import type { Grant } from './grant.ts';
import type { ExportEvent, ExportEventKind } from './export-event.ts';
import { canonicalJson } from './request-seal.ts';
import type { Position } from './position.ts';
import type { ExportParameters } from './request.ts';
import { schemasOf } from './schema-ids.ts';
import type { Codec, SchemaIds } from './schema-ids.ts';
import { sealed } from './sealed-codec.ts';
import type { ExportFile, StatusEvent } from './status.ts';
import type { Scope, Task, TaskFilter, TaskRange, TaskRights } from './tasks.ts';
import type { Zone } from './zone.ts';

/** The codecs of all kinds of records except resource changes. */
export interface ControlCodecs {
  readonly command: Codec<Command>;
  readonly task: Codec<Task>;
  readonly status: Codec<StatusEvent>;
  readonly position: Codec<Position>;
  readonly exportEvent: Codec<ExportEvent>;
  readonly announced: Codec<Announced>;
  readonly zone: Codec<Zone>;
  readonly audit: Codec<AuditRecord>;
  readonly disclosed: Codec<Disclosed>;
}

/** @param secret the setting HEADWATER_URL_SECRET, with which commands and tasks are sealed */
export function controlCodecs(ids: SchemaIds, secret: string | undefined): ControlCodecs {
  const make = <T, W>(subject: string, schema: AvroSchema, mapping: Mapping<T, W>): Codec<T> => {
    const frame = new AvroFrame(schema, schemasOf(ids, subject));
    return {
      encode: (value) => frame.encode(mapping.toWire(value)),
      decode: (bytes) => mapping.fromWire(frame.decode(bytes) as W),
    };
  };
  return {
    command: sealed(make('commands', commandSchema, commandMapping), secret, 'command'),
    task: sealed(make('tasks', taskSchema, taskMapping), secret, 'task'),
    status: make('status', statusEventSchema, statusMapping),
    position: make('position', positionSchema, positionMapping),
    exportEvent: make('exports', exportEventSchema, exportEventMapping),
    announced: make('announced', announcedSchema, announcedMapping),
    zone: make('zones', zoneSchema, zoneMapping),
    audit: make<AuditRecord, AuditRecord>('audit', auditSchema, unchanged),
    disclosed: make<Disclosed, Disclosed>('disclosures', disclosedSchema, unchanged),
  };
}

/** Maps a type of the domain to the values that avsc uses for its schema: null for undefined, arrays for maps, generated classes. */
interface Mapping<T, W> {
  toWire(value: T): W;
  fromWire(wire: W): T;
}

const orNull = <T>(value: T | undefined): T | null => value ?? null;
const orUndefined = <T>(value: T | null): T | undefined => value ?? undefined;
/** A plain object in place of an instance of avsc's generated class. */
const plain = <T extends object>(record: T): T => ({ ...record });

/** avsc's form of a union of records: the full name of the one it is, then its fields. */
type WireEvent<W> = { readonly event: Readonly<Record<string, W>> };

function wireEvent<E extends { readonly kind: string }, W>(event: E, fields: W): WireEvent<W> {
  return { event: { [`${NAMESPACE}.${event.kind}`]: fields } };
}

/** The kind and the fields. */
function eventOf<W>(wire: WireEvent<W>): [string, W] {
  const [entry] = Object.entries(wire.event);
  if (!entry) throw new HeadwaterError('corrupt', 'a record holds no event');
  return [entry[0].slice(NAMESPACE.length + 1), plain(entry[1] as W & object)];
}

/** A missing value is null in Avro and undefined here. */
type Wire<T> = { readonly [K in keyof T]: undefined extends T[K] ? Exclude<T[K], undefined> | null : T[K] };

function toWire<T extends object>(record: T): Wire<T> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, value ?? null])) as Wire<T>;
}

function fromWire<T extends object>(record: Wire<T>): T {
  return Object.fromEntries(
    Object.entries(record).map(([key, value]: [string, unknown]) => [key, value ?? undefined]),
  ) as T;
}

type WireParameters = Wire<ExportParameters>;

interface WireCut {
  readonly lsn: bigint;
  readonly time: number;
  readonly reloaded: number | null;
  readonly ends: readonly {
    readonly type: string;
    readonly ends: readonly number[];
    readonly meanBytes: number;
    readonly topicId: string;
  }[];
  readonly epoch: Epoch | null;
}

const cutToWire = (cut: Cut): WireCut => ({
  lsn: cut.lsn,
  time: cut.time,
  ends: [...cut.ends].map(([type, ends]) => ({
    type,
    ends,
    meanBytes: cut.meanBytes.get(type) ?? 0,
    topicId: cut.topicIds?.get(type) ?? '',
  })),
  epoch: orNull(cut.epoch),
  reloaded: orNull(cut.reloaded),
});
const cutFromWire = (wire: WireCut): Cut => ({
  lsn: lsn(wire.lsn),
  time: stamp(wire.time),
  reloaded: wire.reloaded === null ? undefined : stamp(wire.reloaded),
  ends: new Map(wire.ends.map(({ type, ends }) => [type, ends.map(offset)])),
  meanBytes: new Map(wire.ends.flatMap(({ type, meanBytes }) => (meanBytes > 0 ? [[type, meanBytes]] : []))),
  topicIds: new Map(wire.ends.flatMap(({ type, topicId }) => (topicId === '' ? [] : [[type, topicId]]))),
  ...(wire.epoch && { epoch: epochFromWire(wire.epoch) }),
});
const epochFromWire = ({ id, began }: Epoch): Epoch => ({ id, began: stamp(began) });

type Requested = Extract<Command, { kind: 'ExportRequested' }>;
type CancelRequested = Extract<Command, { kind: 'ExportCancelRequested' }>;
type WireRequested = Omit<Requested, 'kind' | 'parameters' | 'cut' | 'grant'> & {
  readonly parameters: WireParameters;
  readonly cut: WireCut;
  readonly grant: string | null;
};
type WireCommand = WireRequested | Omit<CancelRequested, 'kind'>;

const grantToWire = (grant: Grant | undefined): string | null => (grant ? canonicalJson(grant) : null);
const grantFromWire = (wire: string | null): { readonly grant?: Grant } =>
  wire === null ? {} : { grant: JSON.parse(wire) as Grant };

const commandMapping: Mapping<Command, WireEvent<WireCommand>> = {
  toWire: (command) =>
    wireEvent(
      command,
      command.kind === 'ExportRequested'
        ? {
            ...command,
            parameters: toWire(command.parameters),
            cut: cutToWire(command.cut),
            grant: grantToWire(command.grant),
          }
        : command,
    ),
  fromWire: (wire) => {
    const [kind, fields] = eventOf(wire);
    if (!('cut' in fields)) return { kind, ...fields } as CancelRequested;
    const { parameters, cut, grant, ...others } = fields;
    return {
      kind,
      ...others,
      parameters: fromWire<ExportParameters>(parameters),
      cut: cutFromWire(cut),
      ...grantFromWire(grant),
    } as Requested;
  },
};

type WireTask = Omit<Wire<Task>, 'filter' | 'topicIds'> & {
  readonly topicIds: readonly { readonly type: string; readonly id: string }[];
  readonly filter: Omit<Wire<TaskFilter>, 'scope' | 'rights'> & {
    readonly scope: Wire<Scope> | null;
    readonly rights: string | null;
  };
};

const taskMapping: Mapping<Task, WireTask> = {
  toWire: (task) => {
    const { scope, rights, ...filter } = task.filter;
    return {
      ...toWire(task),
      topicIds: [...task.topicIds].map(([type, id]) => ({ type, id })),
      filter: {
        ...toWire(filter),
        scope: scope === undefined ? null : scopeToWire(scope),
        rights: rights ? canonicalJson(rights) : null,
      },
    };
  },
  fromWire: ({ filter: { scope, rights, ...filter }, ranges, related, organized, topicIds, ...task }) => ({
    ...task,
    topicIds: new Map(topicIds.map(({ type, id }) => [type, id])),
    ranges: ranges.map(rangeFromWire),
    filter: {
      ...fromWire<Omit<TaskFilter, 'scope' | 'rights'>>(filter),
      scope: scope === null ? undefined : scopeFromWire(scope),
      ...(rights !== null && { rights: rightsFromWire(rights) }),
    },
    related: related === null ? undefined : { by: related.by, ranges: related.ranges.map(rangeFromWire) },
    organized: organized === null ? undefined : plain(organized),
  }),
};

function rightsFromWire(wire: string): TaskRights {
  const { grant, groupEnds, time } = JSON.parse(wire) as TaskRights;
  return { grant, groupEnds: groupEnds.map(offset), time: stamp(time) };
}

/** Not an id of a patient. An older worker, which does not read commands, must not take an empty list for all patients. */
const NO_PATIENT = '@';

const scopeToWire = (scope: Scope): Wire<Scope> => ({
  ...toWire(scope),
  patients: scope.command === undefined ? scope.patients : [NO_PATIENT],
});
const scopeFromWire = (wire: Wire<Scope>): Scope => ({
  ...fromWire<Scope>(wire),
  ...(wire.command && { patients: [], command: plain(wire.command) }),
});

const rangeFromWire = (range: TaskRange): TaskRange => ({ ...range, gaps: range.gaps.map(plain) });

type WireStatus = {
  readonly parameters?: WireParameters;
  readonly tasks?: readonly object[];
  readonly files?: readonly object[];
};

const statusMapping: Mapping<StatusEvent, WireEvent<WireStatus>> = {
  toWire: (event) => {
    if (event.kind !== 'ExportPlanned') return wireEvent<StatusEvent, object>(event, event);
    return wireEvent(event, { ...event, parameters: toWire(event.parameters) });
  },
  fromWire: (wire) => {
    const [kind, { parameters, tasks, files, ...fields }] = eventOf(wire);
    return {
      kind,
      ...fields,
      ...(parameters && { parameters: fromWire<ExportParameters>(parameters) }),
      ...(tasks && { tasks: tasks.map(plain) }),
      ...(files && { files: files.map(plain) }),
    } as StatusEvent; // the schema has the same names, so it decides the fields
  },
};

type WirePosition = Omit<Position, 'epoch' | 'reloaded'> & {
  readonly epoch: Epoch | null;
  readonly reloaded: Stamp | null;
};

const positionMapping: Mapping<Position, WirePosition> = {
  toWire: (position) => ({ ...position, epoch: orNull(position.epoch), reloaded: orNull(position.reloaded) }),
  fromWire: (wire) => ({
    ...wire,
    epoch: wire.epoch ? epochFromWire(wire.epoch) : undefined,
    reloaded: orUndefined(wire.reloaded),
    types: wire.types.map(plain),
    topics: wire.topics.map(plain),
    coverage: wire.coverage.map(plain),
  }),
};

type WireExportEvent = Omit<ExportEvent, 'kind' | 'transactionTime' | 'file' | 'manifest' | 'failure'> & {
  readonly kind: string;
  readonly transactionTime: string | null;
  readonly file: ExportFile | null;
  readonly manifest: string | null;
  readonly failure: NonNullable<ExportEvent['failure']> | null;
};

const exportEventMapping: Mapping<ExportEvent, WireExportEvent> = {
  toWire: (event) => ({
    ...event,
    kind: event.kind.replace('-', '_'), // Avro has no hyphen in a symbol
    transactionTime: orNull(event.transactionTime),
    file: orNull(event.file),
    manifest: orNull(event.manifest),
    failure: orNull(event.failure),
  }),
  fromWire: (wire) => ({
    ...wire,
    kind: wire.kind.replace('_', '-') as ExportEventKind,
    transactionTime: orUndefined(wire.transactionTime),
    file: wire.file ? plain(wire.file) : undefined,
    manifest: orUndefined(wire.manifest),
    failure: wire.failure ? plain(wire.failure) : undefined,
  }),
};

/** A record whose fields are the same in Avro. */
const unchanged = {
  toWire: <T>(record: T): T => record,
  fromWire: <T extends object>(record: T): T => plain(record),
};

interface WireAnnounced {
  readonly places: readonly { readonly partition: number; readonly offset: number; readonly n: number }[];
  readonly auditRow: number;
  readonly auditSeq: number;
  readonly auditHash: Buffer;
}

const announcedMapping: Mapping<Announced, WireAnnounced> = {
  toWire: ({ places, audit: { row, seq, hash } }) => ({
    places: [...places].map(([partition, place]) => ({ partition, ...place })),
    ...{ auditRow: row, auditSeq: seq, auditHash: hash },
  }),
  fromWire: ({ places, auditRow: row, auditSeq: seq, auditHash: hash }) => ({
    places: new Map(places.map(({ partition, offset: at, n }) => [partition, { offset: offset(at), n }])),
    audit: { row, seq, hash },
  }),
};

type WireZone = Omit<Zone, 'patients'> & { readonly patients: Buffer };

const zoneMapping: Mapping<Zone, WireZone> = {
  toWire: (zone) => {
    const patients = Buffer.allocUnsafe(4 * zone.patients.length);
    zone.patients.forEach((hash, i) => patients.writeUInt32BE(hash, 4 * i));
    return { ...zone, patients };
  },
  fromWire: ({ patients, ...zone }) => ({
    ...zone,
    from: offset(zone.from),
    to: offset(zone.to),
    patients: Uint32Array.from({ length: patients.length / 4 }, (_, i) => patients.readUInt32BE(4 * i)),
  }),
};
