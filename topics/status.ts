import type { AvroField, AvroSchema } from './avro-schema.ts';
import type { TopicDeclaration } from './declaration.ts';
import { durable } from './durability.ts';
import { days, hours, MEBIBYTE } from './durations.ts';
import { exportFileSchema, exportParametersSchema, lsnSchema, NAMESPACE } from './records.ts';

const taskId: AvroField = { name: 'taskId', type: 'string' };
const failure: readonly AvroField[] = [
  { name: 'code', type: 'string' },
  { name: 'message', type: 'string' },
];

function event(name: string, ...fields: readonly AvroField[]): AvroSchema {
  return {
    type: 'record',
    name,
    fields: [{ name: 'jobId', type: 'string' }, { name: 'at', type: 'long' }, ...fields],
  };
}

const plannedTasksSchema: AvroSchema = {
  type: 'array',
  items: {
    type: 'record',
    name: 'PlannedTask',
    fields: [
      taskId,
      { name: 'lane', type: { type: 'enum', name: 'Lane', symbols: ['quick', 'bulk'] } },
      { name: 'plannedBytes', type: 'long' },
    ],
  },
};

export const statusEventSchema: AvroSchema = {
  type: 'record',
  name: 'StatusEvent',
  namespace: NAMESPACE,
  fields: [
    {
      name: 'event',
      type: [
        event(
          'ExportPlanned',
          { name: 'clientId', type: 'string' },
          { name: 'acceptedAt', type: 'long' },
          { name: 'requestUrl', type: 'string' },
          { name: 'parameters', type: exportParametersSchema },
          { name: 'folder', type: 'string' },
          { name: 'transactionTime', type: 'long' },
          { name: 'lsn', type: lsnSchema },
          { name: 'tasks', type: plannedTasksSchema },
          { name: 'epoch', type: 'string', default: '' },
        ),
        event('ExportFailed', ...failure),
        event('ExportCancelled'),
        event('ExportExpired'),
        event('TaskStarted', taskId, { name: 'worker', type: 'string' }),
        // Workers write it to the progress topic; in old logs it is here.
        event('TaskProgressed', taskId, { name: 'fraction', type: 'double' }),
        event('TaskCompleted', taskId, { name: 'files', type: { type: 'array', items: exportFileSchema } }),
        event('TaskFailed', taskId, ...failure),
      ],
    },
  ],
};

export const status: TopicDeclaration = {
  name: 'status',
  subject: 'status',
  schema: statusEventSchema,
  key: 'job id',
  partitions: () => 4,
  config: (settings) => ({
    ...durable(settings, 'of the broker'),
    'cleanup.policy': 'delete',
    // Every event of a job must outlive the job's rows, or a rebuild would find only a part of them.
    'retention.ms': settings.jobHistoryHours === undefined ? '-1' : hours(settings.jobHistoryHours + 14 * 24),
    'retention.bytes': '-1',
    'segment.bytes': String(256 * MEBIBYTE),
    'segment.ms': days(7),
    'max.message.bytes': String(8 * MEBIBYTE),
  }),
  writers: ['planner', 'worker', 'janitor'],
  readers: ['projector'],
  why: `The only truth about a job after its request: the job tables are a fold of this and are rebuilt from it, so an event
stays until two weeks after its job was forgotten (HEADWATER_JOB_HISTORY). The events of a job share a partition, hence an order.`,
};
