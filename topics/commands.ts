import type { AvroSchema } from './avro-schema.ts';
import type { TopicDeclaration } from './declaration.ts';
import { durable } from './durability.ts';
import { days, MEBIBYTE } from './durations.ts';
import { epochSchema, exportParametersSchema, lsnSchema, NAMESPACE } from './records.ts';

const cutSchema: AvroSchema = {
  type: 'record',
  name: 'Cut',
  fields: [
    { name: 'lsn', type: lsnSchema },
    { name: 'time', type: 'long', doc: 'Stamp; the transactionTime of the export' },
    { name: 'reloaded', type: ['null', 'long'], default: null, doc: 'Stamp of the last reload before' },
    {
      name: 'ends',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'CutEnd',
          fields: [
            { name: 'type', type: 'string' },
            { name: 'ends', type: { type: 'array', items: 'long' }, doc: 'End offset by partition number' },
            { name: 'meanBytes', type: 'double', doc: 'Mean size of a resource; 0 when not known' },
            { name: 'topicId', type: 'string', default: '', doc: "Kafka's id of the topic" },
          ],
        },
      },
    },
    { name: 'epoch', type: ['null', epochSchema], default: null },
  ],
};

export const commandSchema: AvroSchema = {
  type: 'record',
  name: 'Command',
  namespace: NAMESPACE,
  fields: [
    {
      name: 'event',
      type: [
        {
          type: 'record',
          name: 'ExportRequested',
          fields: [
            { name: 'jobId', type: 'string' },
            { name: 'clientId', type: 'string' },
            { name: 'acceptedAt', type: 'long' },
            { name: 'requestUrl', type: 'string' },
            { name: 'parameters', type: exportParametersSchema },
            { name: 'cut', type: cutSchema },
            { name: 'grant', type: ['null', 'string'], default: null, doc: 'Rights of the client, as JSON' },
          ],
        },
        {
          type: 'record',
          name: 'ExportCancelRequested',
          fields: [
            { name: 'jobId', type: 'string' },
            { name: 'cancelledAt', type: 'long' },
          ],
        },
      ],
    },
  ],
};

export const commands: TopicDeclaration = {
  name: 'commands',
  subject: 'commands',
  schema: commandSchema,
  key: 'job id',
  partitions: () => 4,
  config: (settings) => ({
    ...durable(settings, 'of the broker'),
    'cleanup.policy': 'delete',
    'retention.ms': days(5),
    'segment.ms': days(1),
    'segment.bytes': String(64 * MEBIBYTE),
    'max.message.bytes': String(8 * MEBIBYTE),
  }),
  writers: ['capture'],
  readers: ['planner'],
  why: `Requests in the order of the source's commits, each with its cut; tasks of many named patients refer to them. Kept shorter than the 7 days after which Kafka forgets the
offsets of a group without members: a service that was off for longer must not find handled commands again.`,
};
