import type { AvroSchema } from './avro-schema.ts';
import type { TopicDeclaration, TopicSettings } from './declaration.ts';
import { durable } from './durability.ts';
import { days, hours, MEBIBYTE } from './durations.ts';
import { NAMESPACE } from './records.ts';

export const auditSchema: AvroSchema = {
  type: 'record',
  name: 'AuditRecord',
  namespace: NAMESPACE,
  fields: [
    { name: 'seq', type: 'long', doc: 'Its number in the chain, from 1' },
    { name: 'id', type: 'string', doc: 'UUID, unique for what happened' },
    { name: 'kind', type: 'string', doc: 'Such as export.completed' },
    { name: 'at', type: 'long', doc: 'ms since 1970, by the clock of the database' },
    { name: 'previous', type: 'bytes', doc: 'SHA-256 of the value of the record before; empty in the first' },
    { name: 'fhir', type: 'bytes', doc: 'An AuditEvent of R4 as JSON' },
  ],
};

export const disclosedSchema: AvroSchema = {
  type: 'record',
  name: 'Disclosed',
  namespace: NAMESPACE,
  fields: [
    { name: 'jobId', type: 'string' },
    { name: 'taskId', type: 'string' },
    { name: 'all', type: 'boolean', doc: 'The task wrote every resource of its types that there was' },
    { name: 'patients', type: { type: 'array', items: 'string' }, doc: 'Ids, if they are few' },
    {
      name: 'hashes',
      type: 'bytes',
      doc: 'If they are many: 6 bytes of hash of each id, sorted',
    },
  ],
};

function kept(settings: TopicSettings): Readonly<Record<string, string>> {
  return {
    ...durable(settings, 'of the broker'),
    'cleanup.policy': 'delete',
    'retention.ms': settings.auditHours === undefined ? '-1' : hours(settings.auditHours),
    'retention.bytes': '-1',
    'segment.bytes': String(256 * MEBIBYTE),
    'segment.ms': days(7),
    'max.message.bytes': String(8 * MEBIBYTE),
  };
}

export const audit: TopicDeclaration = {
  name: 'audit',
  subject: 'audit',
  schema: auditSchema,
  key: 'job id, or the id of the record',
  partitions: () => 1,
  config: kept,
  writers: ['projector'],
  readers: ['subscribers'],
  why: `Who asked for which data, under which rule, what became of it, and who was refused: each once, in a chain of hashes that shows
what was removed or changed. One partition makes it one chain. It is kept for HEADWATER_AUDIT_RETENTION.`,
};

export const disclosures: TopicDeclaration = {
  name: 'disclosures',
  subject: 'disclosures',
  schema: disclosedSchema,
  key: 'job id',
  partitions: () => 4,
  config: kept,
  writers: ['worker'],
  readers: ['subscribers'],
  why: `The patients whose data each task wrote, in the Kafka transaction of its outcome. A patient may ask for years who got his data,
long after the files are gone. It is kept as long as the audit topic.`,
};
