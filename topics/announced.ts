import type { AvroSchema } from './avro-schema.ts';
import type { TopicDeclaration } from './declaration.ts';
import { durable } from './durability.ts';
import { hours, MEBIBYTE } from './durations.ts';
import { NAMESPACE } from './records.ts';

export const announcedSchema: AvroSchema = {
  type: 'record',
  name: 'Announced',
  namespace: NAMESPACE,
  fields: [
    {
      name: 'places',
      doc: 'The last published announcement of each partition of the status topic that had any',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'AnnouncementPlace',
          fields: [
            { name: 'partition', type: 'int' },
            { name: 'offset', type: 'long', doc: 'Of the status event' },
            { name: 'n', type: 'int', doc: 'Which of the announcements that this event led to, from 0' },
          ],
        },
      },
    },
    {
      name: 'auditRow',
      type: 'long',
      default: 0,
      doc: 'The number of the last row that is in the audit topic',
    },
    { name: 'auditSeq', type: 'long', default: 0, doc: 'The number of the last record of the audit topic' },
    { name: 'auditHash', type: 'bytes', default: '', doc: 'SHA-256 of its value' },
  ],
};

export const announced: TopicDeclaration = {
  name: 'announced',
  subject: 'announced',
  schema: announcedSchema,
  key: 'always "exports"',
  partitions: () => 1,
  config: (settings) => ({
    ...durable(settings, 'of the broker'),
    'cleanup.policy': 'compact',
    'segment.bytes': String(16 * MEBIBYTE),
    'segment.ms': hours(1),
    'min.cleanable.dirty.ratio': '0.1',
  }),
  writers: ['projector'],
  readers: ['projector'],
  why: `How far the exports and audit topics got, written in the same Kafka transaction as the events up to there: after a crash or a rebuild of
the job tables nothing is announced twice. A consumer group's offsets would be forgotten after a week without exports.`,
};
