import type { AvroSchema } from './avro-schema.ts';
import type { TopicDeclaration } from './declaration.ts';
import { durable } from './durability.ts';
import { hours, MEBIBYTE } from './durations.ts';
import { epochSchema, lsnSchema, NAMESPACE } from './records.ts';

export const positionSchema: AvroSchema = {
  type: 'record',
  name: 'Position',
  namespace: NAMESPACE,
  fields: [
    { name: 'slot', type: 'string' },
    { name: 'systemId', type: 'string', doc: "PostgreSQL's system identifier" },
    {
      name: 'lsn',
      type: lsnSchema,
      doc: 'Every source transaction that ends at or before this is in the log',
    },
    { name: 'stamp', type: 'long', doc: 'Stamp of the last one' },
    { name: 'reloaded', type: ['null', 'long'], default: null, doc: 'Stamp of the last reload' },
    {
      name: 'types',
      doc: 'What was written so far, cumulative',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'TypeCount',
          fields: [
            { name: 'type', type: 'string' },
            { name: 'records', type: 'long' },
            { name: 'bytes', type: 'long' },
          ],
        },
      },
    },
    { name: 'timeline', type: 'int', default: 0, doc: "PostgreSQL's; 0 = not known" },
    {
      name: 'pending',
      type: 'string',
      default: 'none',
      doc: 'none, first-load or reload: what has to be done first',
    },
    { name: 'epoch', type: ['null', epochSchema], default: null },
    {
      name: 'topics',
      doc: 'Resource topics at least this long',
      default: [],
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'TopicState',
          fields: [
            { name: 'type', type: 'string' },
            { name: 'id', type: 'string', doc: "Kafka's id of the topic" },
            {
              name: 'starts',
              type: { type: 'array', items: 'long' },
              default: [],
              doc: 'By partition number',
            },
            { name: 'ends', type: { type: 'array', items: 'long' }, doc: 'By partition number' },
          ],
        },
      },
    },
    {
      name: 'coverage',
      doc: 'What in the catalog of the source decides what the stream shows',
      default: [],
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'CoverageFact',
          fields: [
            { name: 'subject', type: 'string' },
            { name: 'value', type: 'string' },
          ],
        },
      },
    },
  ],
};

export const position: TopicDeclaration = {
  name: 'position',
  subject: 'position',
  schema: positionSchema,
  key: 'the topic prefix',
  partitions: () => 1,
  config: (settings) => ({
    ...durable(settings, 'of the broker'),
    'cleanup.policy': 'compact',
    'segment.bytes': String(16 * MEBIBYTE),
    'segment.ms': hours(1),
    'min.cleanable.dirty.ratio': '0.1',
  }),
  writers: ['capture'],
  readers: ['capture'],
  why: `What capture has stored, written in the same Kafka transaction as the changes up to there; read back at its start, and the
only thing an LSN confirmed to PostgreSQL may come from. Small segments and eager compaction keep that reading short.`,
};
