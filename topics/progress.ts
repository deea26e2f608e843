import type { TopicDeclaration } from './declaration.ts';
import { durable } from './durability.ts';
import { hours, MEBIBYTE } from './durations.ts';
import { statusEventSchema } from './status.ts';

export const progress: TopicDeclaration = {
  name: 'progress',
  subject: 'status',
  schema: statusEventSchema,
  key: 'job id',
  partitions: () => 1,
  config: (settings) => ({
    ...durable(settings, 'of the broker'),
    'cleanup.policy': 'delete',
    'retention.ms': hours(6),
    'segment.bytes': String(64 * MEBIBYTE),
    'segment.ms': hours(1),
  }),
  writers: ['worker'],
  readers: ['projector', 'janitor'],
  why: `TaskProgressed events: how far tasks are that are being worked on, once a second each. They are not needed after the task, so they
stay out of the status topic, which is kept for as long as jobs are. An event that is lost costs a number on a screen.`,
};
