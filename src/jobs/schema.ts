import { createHash } from 'node:crypto';
import { HeadwaterError } from '../base/errors.ts';

/** Qualified, quoted names of the tables that `migrate` makes. */
export interface JobTables {
  readonly schema: string;
  readonly installation: string;
  readonly request: string;
  readonly unfinished: string;
  readonly history: string;
  readonly job: string;
  readonly task: string;
  readonly file: string;
  readonly offset: string;
  readonly movement: string;
  readonly progress: string;
  readonly progressOffset: string;
  readonly announcement: string;
  readonly unmarked: string;
  readonly usedAssertion: string;
  readonly audit: string;
  readonly reload: string;
}

const DEFAULT_PREFIX = 'headwater';

/**
 * The schema of an installation: `headwater` for the default name, `headwater_` and the name for others. If the name is not a plain
 * identifier, the schema gets a part of its hash, so that two installations never share a schema.
 */
export function schemaOf(topicPrefix: string): string {
  if (topicPrefix === DEFAULT_PREFIX) return DEFAULT_PREFIX;
  const plain = topicPrefix
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]/g, '_')
    .slice(0, 44);
  if (plain === topicPrefix) return `headwater_${plain}`;
  return `headwater_${plain}_${createHash('sha256').update(topicPrefix).digest('hex').slice(0, 8)}`;
}

export function jobTables(schema: string): JobTables {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw new HeadwaterError(
      'bad-config',
      `"${schema}" cannot name a schema: use lower-case letters, digits and _`,
    );
  }
  const table = (name: string): string => `"${schema}"."${name}"`;
  return {
    schema: `"${schema}"`,
    installation: table('installation'),
    request: table('export_request'),
    unfinished: table('unfinished_request'),
    history: table('history'),
    job: table('job'),
    task: table('job_task'),
    file: table('job_file'),
    offset: table('projection_offset'),
    movement: table('job_movement'),
    progress: table('task_progress'),
    progressOffset: table('progress_offset'),
    announcement: table('announcement'),
    unmarked: table('unmarked_folder'),
    usedAssertion: table('used_assertion'),
    audit: table('audit_row'),
    reload: table('running_reload'),
  };
}
