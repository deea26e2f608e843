import { HeadwaterError } from '../base/errors.ts';
import type { FileKind } from '../events/status.ts';
import type { Task } from '../events/tasks.ts';

const DIGITS = 5;

/**
 * The key of the nth file (from 1) of a task, a kind and a type. It depends on the task alone, so each attempt writes the same names:
 * `<folder>/Patient-<n>.ndjson`, where n is the task's number followed by the file's in five digits. Files of other kinds begin with
 * their kind. With the hive layout, the file stands in `type=Patient/`, and other kinds in folders that Spark skips, as `_deleted/`.
 * @throws `limit` if a task makes too many files
 */
export function fileKey(
  { folder, taskId, outputFormat, layout }: Pick<Task, 'folder' | 'taskId' | 'outputFormat' | 'layout'>,
  kind: FileKind,
  type: string,
  n: number,
): string {
  const number = String(n).padStart(DIGITS, '0');
  if (number.length > DIGITS)
    throw new HeadwaterError('limit', `a task makes ${n} files of ${type}: raise HEADWATER_FILE_BYTES`);
  const isOutput = kind === 'output';
  const extension = outputFormat === 'ndjson+gzip' ? 'ndjson.gz' : 'ndjson';
  const name = `${isOutput ? '' : `${kind}-`}${type}-${taskId}${number}.${extension}`;
  if (layout === 'flat') return `${folder}/${name}`;
  return `${folder}/${isOutput ? '' : `_${kind}/`}type=${type}/${name}`;
}
