import type { AvroSchema } from './avro-schema.ts';
import type { TopicDeclaration } from './declaration.ts';
import { durable } from './durability.ts';
import { days, MEBIBYTE } from './durations.ts';
import { exportFileSchema, NAMESPACE } from './records.ts';

export const exportEventSchema: AvroSchema = {
  type: 'record',
  name: 'ExportEvent',
  namespace: NAMESPACE,
  fields: [
    { name: 'jobId', type: 'string' },
    { name: 'clientId', type: 'string' },
    { name: 'requestUrl', type: 'string' },
    {
      name: 'kind',
      type: {
        type: 'enum',
        name: 'ExportEventKind',
        symbols: ['accepted', 'started', 'file_ready', 'completed', 'failed', 'cancelled', 'expired'],
      },
    },
    { name: 'at', type: 'long', doc: 'ms since 1970' },
    { name: 'transactionTime', type: ['null', 'string'], default: null, doc: 'FHIR instant' },
    { name: 'file', type: ['null', exportFileSchema], default: null, doc: 'Of file_ready' },
    {
      name: 'manifest',
      type: ['null', 'string'],
      default: null,
      doc: 'Of completed: the manifest as JSON, with object store keys in place of signed URLs',
    },
    {
      name: 'failure',
      type: [
        'null',
        {
          type: 'record',
          name: 'ExportFailure',
          fields: [
            { name: 'code', type: 'string' },
            { name: 'message', type: 'string' },
          ],
        },
      ],
      default: null,
    },
  ],
};

export const exportEvents: TopicDeclaration = {
  name: 'exports',
  subject: 'exports',
  schema: exportEventSchema,
  key: 'job id',
  partitions: () => 4,
  config: (settings) => ({
    ...durable(settings, 'of the source'),
    'cleanup.policy': 'delete',
    'retention.ms': days(30),
    'segment.ms': days(1),
    'segment.bytes': String(64 * MEBIBYTE),
    'max.message.bytes': String(8 * MEBIBYTE),
  }),
  writers: ['projector'],
  readers: ['subscribers'],
  why: `The public face: one CloudEvent (binary content mode: ce_ headers, the Avro record as data) for each thing a subscriber may
wait for, each exactly once. 30 days let a subscriber be away over a holiday; what it missed for longer is in the API.`,
};
