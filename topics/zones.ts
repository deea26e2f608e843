import type { AvroSchema } from './avro-schema.ts';
import type { TopicDeclaration } from './declaration.ts';
import { durable } from './durability.ts';
import { days, MEBIBYTE } from './durations.ts';
import { NAMESPACE } from './records.ts';

export const zoneSchema: AvroSchema = {
  type: 'record',
  name: 'Zone',
  namespace: NAMESPACE,
  fields: [
    { name: 'type', type: 'string' },
    { name: 'partition', type: 'int' },
    { name: 'from', type: 'long' },
    { name: 'to', type: 'long', doc: 'Exclusive' },
    { name: 'patients', type: 'bytes', doc: '32-bit hashes of their ids, big-endian, ascending' },
  ],
};

export const zones: TopicDeclaration = {
  name: 'zones',
  subject: 'zones',
  schema: zoneSchema,
  key: 'resource type',
  partitions: () => 4,
  config: (settings) => ({
    ...durable(settings, 'of the broker'),
    'cleanup.policy': 'delete',
    'retention.ms': '-1',
    'retention.bytes': '-1',
    'segment.bytes': String(64 * MEBIBYTE),
    'segment.ms': days(7),
  }),
  writers: ['capture'],
  readers: ['planner'],
  why: `Which patients each stretch of a resource topic is about, so that an export of few patients reads only where they are. Written in
the Kafka transactions of the records it describes, or a later one; readers read every stretch that no zone covers. A zone stays true when its records
are compacted, since compaction only takes away; none is ever superseded, hence kept and not compacted. It is emptied when a
first load begins again with emptied resource topics.`,
};
