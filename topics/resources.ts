import type { AvroSchema } from './avro-schema.ts';
import type { TopicDeclaration } from './declaration.ts';
import { durable } from './durability.ts';
import { MEBIBYTE } from './durations.ts';
import { lsnSchema, NAMESPACE } from './records.ts';

/** The order of the fields is relied on: metadata first, the body last, so that a reader need not go through it. */
export const resourceChangeSchema: AvroSchema = {
  type: 'record',
  name: 'ResourceChange',
  namespace: NAMESPACE,
  fields: [
    {
      name: 'operation',
      type: { type: 'enum', name: 'Operation', symbols: ['snapshot', 'create', 'update', 'delete'] },
    },
    { name: 'stamp', type: 'long', doc: 'Commit time as a running maximum, ms since 1970' },
    { name: 'lsn', type: lsnSchema, doc: 'Commit LSN in the source' },
    { name: 'versionId', type: ['null', 'string'] },
    { name: 'lastUpdated', type: ['null', 'long'], doc: "The source's own, ms since 1970" },
    {
      name: 'oversizeBytes',
      type: ['null', 'long'],
      doc: 'Size of a body over the limit, which is not here',
    },
    {
      name: 'patients',
      type: { type: 'array', items: 'string' },
      doc: 'In whose compartment this version is',
    },
    {
      name: 'leftPatients',
      type: { type: 'array', items: 'string' },
      doc: 'Whose compartment this version left',
    },
    {
      name: 'problem',
      type: ['null', 'string'],
      default: null,
      doc: 'Why a resource that lives has no body',
    },
    { name: 'body', type: ['null', 'bytes'], doc: "The resource's JSON, untouched" },
  ],
};

/** Bytes for a record's metadata, the batch around it, and what compression adds where it gains nothing. */
const BESIDE_BODY = 4 * MEBIBYTE;
/** Also when the setting is less: what an earlier setting let in can be written again. */
const LEAST_BODY = 16 * MEBIBYTE;

const FOR_EVER = '9223372036854775807';

export const resources: TopicDeclaration = {
  name: 'resources.<Type>',
  subject: 'resources',
  schema: resourceChangeSchema,
  key: 'Type/id',
  partitions: (settings) => settings.resourcePartitions,
  config: (settings, type) => ({
    ...durable(settings, 'of the source'),
    'cleanup.policy': 'compact',
    'min.compaction.lag.ms': type === 'Group' ? FOR_EVER : String(settings.compactionLagMs),
    'max.message.bytes': String(Math.max(LEAST_BODY, settings.maxResourceBytes ?? 0) + BESIDE_BODY),
    // A segment is cleaned when it is full or old, and when a tenth of what is cleaned would go.
    'segment.bytes': String(64 * MEBIBYTE),
    'segment.ms': String(Math.max(1_000, Math.round(settings.compactionLagMs / 2))),
    'min.cleanable.dirty.ratio': '0.1',
  }),
  writers: ['capture'],
  readers: ['worker', 'capture'],
  why: `Every committed version of every resource, one topic a type so that _type reads only what it returns. Compacted to the
newest version, but not while an export may need an older one: the version a cut points at must outlive every export of that cut. So a
replaced version stays for min.compaction.lag.ms, which janitors make longer while an older export is unfinished.
Of a Group every version is kept: who was a member at an earlier export decides what a later one owes its client.
A delete is a value and stays; there are no tombstones. Record timestamps are stamps of the source's commits, by which an
instant is found, so the broker must take them whatever its own clock says. segment.ms bounds how long the active segment,
which is never compacted, can keep superseded versions of a quiet type. The partition count is fixed when a topic is
created (keys must stay where they are) and may differ from the setting later.`,
};
