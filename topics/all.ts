import type { TopicDeclaration } from './declaration.ts';
import { announced } from './announced.ts';
import { audit, disclosures } from './audit.ts';
import { commands } from './commands.ts';
import { exportEvents } from './exports.ts';
import { position } from './position.ts';
import { progress } from './progress.ts';
import { resources } from './resources.ts';
import { status } from './status.ts';
import { bulkTasks, quickTasks } from './tasks.ts';
import { zones } from './zones.ts';

/** Every topic there is. */
export const allTopics: readonly TopicDeclaration[] = [
  resources,
  zones,
  position,
  commands,
  quickTasks,
  bulkTasks,
  status,
  progress,
  exportEvents,
  announced,
  audit,
  disclosures,
];
