import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { HeadwaterError, messageOf } from '../base/errors.ts';

/** Reads a file that an operator has written. Throws `bad-config`, with the name of the file and of what names it. */
export async function readOr(path: string, name: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new HeadwaterError('bad-config', `${name}: cannot read ${path}: ${messageOf(error)}`);
  }
}

/** Parses YAML or JSON of a form. Throws `bad-config` with one line for each problem; the line names the place in the file. */
export function parseYaml<S extends z.ZodType>(text: string, path: string, schema: S): z.output<S> {
  const document = parseDocument(text, { uniqueKeys: true });
  const [mistake] = document.errors;
  if (mistake) throw wrong(path, [mistake.message.split('\n')[0] ?? '']);
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: 0 });
  } catch {
    throw wrong(path, ['it has an alias (*name); write the value instead']);
  }
  const parsed = schema.safeParse(content);
  if (parsed.success) return parsed.data;
  throw wrong(
    path,
    parsed.error.issues.map(
      (issue) => `${issue.path.join('.').replaceAll(/\p{Cc}/gu, '?') || 'the file'}: ${issue.message}`,
    ),
  );
}

export function wrong(path: string, problems: readonly string[]): HeadwaterError {
  return new HeadwaterError('bad-config', problems.map((problem) => `${path}: ${problem}`).join('\n'));
}
