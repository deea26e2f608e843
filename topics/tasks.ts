import type { AvroSchema } from './avro-schema.ts';
import type { TopicDeclaration, TopicSettings } from './declaration.ts';
import { durable } from './durability.ts';
import { days, MEBIBYTE } from './durations.ts';
import { NAMESPACE } from './records.ts';

const strings: AvroSchema = { type: 'array', items: 'string' };

const taskRangeSchema: AvroSchema = {
  type: 'record',
  name: 'TaskRange',
  fields: [
    { name: 'type', type: 'string' },
    { name: 'partition', type: 'int' },
    { name: 'from', type: 'long' },
    { name: 'to', type: 'long', doc: 'Exclusive' },
    {
      name: 'gaps',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'OffsetRange',
          fields: [
            { name: 'from', type: 'long' },
            { name: 'to', type: 'long', doc: 'Exclusive' },
          ],
        },
      },
      default: [],
      doc: 'Parts that need not be read',
    },
  ],
};

const scopeSchema: AvroSchema = {
  type: 'record',
  name: 'Scope',
  fields: [
    { name: 'group', type: ['null', 'string'], default: null },
    { name: 'groupEnds', type: { type: 'array', items: 'long' } },
    { name: 'time', type: 'long' },
    { name: 'patients', type: strings },
    {
      name: 'command',
      type: [
        'null',
        {
          type: 'record',
          name: 'CommandPlace',
          fields: [
            { name: 'partition', type: 'int' },
            { name: 'offset', type: 'long' },
          ],
        },
      ],
      default: null,
      doc: 'The record of commands that names the patients, where they are many',
    },
  ],
};

const taskFilterSchema: AvroSchema = {
  type: 'record',
  name: 'TaskFilter',
  fields: [
    { name: 'since', type: ['null', 'long'], default: null },
    { name: 'until', type: ['null', 'long'], default: null },
    { name: 'scope', type: ['null', scopeSchema], default: null },
    { name: 'typeFilters', type: strings, default: [] },
    { name: 'elements', type: strings, default: [] },
    { name: 'rights', type: ['null', 'string'], default: null, doc: 'Of the client, as JSON' },
    { name: 'everyPatient', type: 'boolean', default: false },
  ],
};

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
    { name: 'ranges', type: { type: 'array', items: taskRangeSchema } },
    { name: 'filter', type: taskFilterSchema },
    { name: 'plannedBytes', type: 'long' },
    {
      name: 'related',
      type: [
        'null',
        {
          type: 'record',
          name: 'Related',
          fields: [
            { name: 'by', type: 'string' },
            { name: 'ranges', type: { type: 'array', items: 'TaskRange' } },
          ],
        },
      ],
      default: null,
    },
    {
      name: 'organized',
      type: [
        'null',
        {
          type: 'record',
          name: 'Organized',
          fields: [
            { name: 'by', type: 'string' },
            { name: 'slice', type: 'int' },
            { name: 'of', type: 'int' },
          ],
        },
      ],
      default: null,
    },
    { name: 'warnings', type: strings, default: [], doc: 'For the error files, a sentence each' },
    {
      name: 'topicIds',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'TopicId',
          fields: [
            { name: 'type', type: 'string' },
            { name: 'id', type: 'string' },
          ],
        },
      },
      default: [],
      doc: "Kafka's ids of the topics that are read",
    },
    { name: 'layout', type: 'string', default: 'flat', doc: 'Of the names of files: flat or hive' },
  ],
};

const shared = {
  subject: 'tasks',
  schema: taskSchema,
  key: 'job id/task id',
  partitions: () => 16,
  config: (settings: TopicSettings) => ({
    ...durable(settings, 'of the broker'),
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
