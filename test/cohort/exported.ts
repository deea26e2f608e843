import assert from 'node:assert/strict';
import type { ExportParameters } from '../../src/events/request.ts';
import type { Asked } from './oracle.ts';
import type { Exported } from './world.ts';

export function parametersOf(one: Asked, since?: string): Partial<ExportParameters> {
  return {
    level: one.level,
    group: one.group,
    patients: one.patients ?? [],
    types: one.types ?? [],
    since,
    provenance: one.provenance ?? 'in-scope',
    typeFilters: one.filters ?? [],
    elements: one.elements ?? [],
  };
}

export function keyOf(line: string): string {
  const { resourceType, id } = JSON.parse(line) as { resourceType: string; id: string };
  return `${resourceType}/${id}`;
}

/** Lines by key; fails when there is one twice, or a file holds what its name denies. */
export function linesOf({ output, deleted }: Exported): Map<string, string> {
  const lines = new Map(output.map(({ line }) => [keyOf(line), line]));
  assert.equal(lines.size, output.length, 'a resource is in output once');
  assert.equal(new Set(deleted).size, deleted.length, 'a resource is in deleted once');
  for (const key of deleted) assert(!lines.has(key), `${key} is in output and in deleted`);
  for (const { type, line } of output) assert.equal(keyOf(line).split('/')[0], type);
  return lines;
}

export function apply(copy: ReadonlyMap<string, string>, changes: Exported): Map<string, string> {
  const result = new Map(copy);
  const put = linesOf(changes);
  for (const key of changes.deleted) result.delete(key);
  for (const [key, line] of put) result.set(key, line);
  return result;
}

export const sorted = (lines: ReadonlyMap<string, string>): [string, string][] =>
  [...lines].sort(([a], [b]) => (a < b ? -1 : 1));

/** Of organized output, what follows each header, by the patient it names. Each file begins with one. */
export function blocksOf({ output }: Exported): Map<string, string[]> {
  const blocks = new Map<string, string[]>();
  let open: string[] | undefined;
  for (const { type, line, beginsFile } of output) {
    assert.equal(type, 'Patient');
    const header = /^{"resourceType":"Parameters".*"Patient\/([^"]*)"}}\]}$/.exec(line);
    assert(header !== null || !beginsFile, 'a file begins with a header');
    if (header?.[1]) {
      assert(!blocks.has(header[1]), 'a patient has one block');
      blocks.set(header[1], (open = []));
    } else (open ?? assert.fail('what has no header')).push(line);
  }
  return blocks;
}
