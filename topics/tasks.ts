import type { AvroSchema } from '../src/events/avro-schema.ts';
import type { TopicDeclaration } from '../src/log/topic-declaration.ts';
import { days, MEBIBYTE } from './durations.ts';
import { NAMESPACE } from './records.ts';

export const taskSchema: AvroSchema = {
  type: 'record',
  name: 'Task',
  namespace: NAMESPACE,
  fields: [
    { name: 'jobId', type: 'string' },
    { name: 'taskId', type: 'string' },
    { name: 'lane', type: { type: 'enum', name: 'Lane', symbols: ['quick', 'bulk'] } },
    { name: 'folder', type: 'string' },
    { name: 'outputFormat', type: 'string' },
    {
      name: 'ranges',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'TaskRange',
          fields: [
            { name: 'type', type: 'string' },
            { name: 'partition', type: 'int' },
            { name: 'from', type: 'long' },
            { name: 'to', type: 'long', doc: 'Exclusive' },
          ],
        },
      },
    },
    {
      name: 'filter',
      type: {
        type: 'record',
        name: 'TaskFilter',
        fields: [{ name: 'since', type: ['null', 'long'], default: null }],
      },
    },
    { name: 'plannedBytes', type: 'long' },
  ],
};

const shared = {
  subject: 'tasks',
  schema: taskSchema,
  key: 'job id/task id',
  partitions: () => 16,
  config: () => ({
    'cleanup.policy': 'delete',
    'retention.ms': days(5),
    'segment.ms': days(1),
    'segment.bytes': String(64 * MEBIBYTE),
    'max.message.bytes': String(8 * MEBIBYTE),
  }),
  writers: ['planner'],
  readers: ['worker'],
} as const satisfies Omit<TopicDeclaration, 'name' | 'why'>;

export const quickTasks: TopicDeclaration = {
  ...shared,
  name: 'tasks.quick',
  why: `Tasks of small exports, with readers of their own, so that they never wait behind large ones. The key spreads the tasks
of a job over the partitions and so over workers: 16 of them can share. Retention as for commands.`,
};

export const bulkTasks: TopicDeclaration = {
  ...shared,
  name: 'tasks.bulk',
  why: `Tasks of large exports. 16 partitions are the most workers that can share one export. Retention as for commands.`,
};
