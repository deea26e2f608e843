import { stringify } from 'yaml';
import type { ExportLevel } from '../../events/request.ts';
import { isResourceType } from '../../fhir/resource-types.ts';
import { HeadwaterError } from '../../base/errors.ts';
import { problemsOfRoles } from '../access-file.ts';
import { fileSchema } from '../access-schema.ts';
import { parseYaml } from '../yaml-file.ts';

/** A rule of the access file, as it is written there. */
export interface WrittenRule {
  readonly id: string;
  readonly types: '*' | readonly string[];
  readonly where: 'everything' | { readonly patient: 'self' } | { readonly criteria: readonly string[] };
  readonly shared?: 'exclude';
  readonly redact?: readonly WrittenRedaction[];
}

export interface WrittenRedaction {
  readonly path: string;
  readonly do: 'remove' | 'random';
  readonly key?: string;
}

/** Roles made of the rules of another server. */
export interface Imported {
  readonly roles: ReadonlyMap<string, readonly WrittenRule[]>;
  /** Rules that an export cannot use and that it loses nothing by, one line each. */
  readonly notes: readonly string[];
}

/** Collects what cannot be carried over. It is refused as a whole: half of the rules would be other rules. */
export class Refusals {
  readonly #lines: string[] = [];

  add(place: string, why: string): undefined {
    this.#lines.push(`${place}: ${why}`);
    return undefined;
  }

  throwIfAny(): void {
    if (this.#lines.length > 0) throw new HeadwaterError('bad-request', this.#lines.join('\n'));
  }
}

/**
 * Returns roles as the text of an access file without clients.
 * @throws bad-request with one line for each thing that `access check` would find
 */
export function accessFileOf({ roles }: Imported): string {
  const written = [...roles].map(([name, rules]) => [name, { export: exportOf(rules), rules }] as const);
  const text = stringify({
    version: 1,
    issuers: { embedded: {} },
    clients: {},
    roles: Object.fromEntries(written),
  });
  const problems = problemsOfRoles(parseYaml(text, 'the imported file', fileSchema));
  if (problems.length > 0) throw new HeadwaterError('bad-request', problems.join('\n'));
  return text;
}

/** A role whose rules are about its own patient has no other exports. */
function exportOf(rules: readonly WrittenRule[]): {
  readonly levels: readonly ExportLevel[];
  readonly groups?: '*';
} {
  const own = rules.some(({ where }) => typeof where === 'object' && 'patient' in where);
  return own ? { levels: ['patient'] } : { levels: ['system', 'patient', 'group'], groups: '*' };
}

/** `*` or a type of R4; undefined, and a refusal, for another. */
export function typesOf(
  name: unknown,
  place: string,
  refusals: Refusals,
): '*' | readonly string[] | undefined {
  if (name === '*') return '*';
  if (typeof name === 'string' && isResourceType(name)) return [name];
  return refusals.add(place, `FHIR R4 has no resource type "${String(name)}"`);
}

/** An element as the access file names it; undefined, and a refusal, for an expression that is no path. */
export function pathOf(
  expression: unknown,
  type: unknown,
  place: string,
  refusals: Refusals,
): string | undefined {
  const text = String(expression).replace(new RegExp(`^${String(type)}\\.`), '');
  if (/^[a-z]\w*(\.[a-z]\w*)*$/i.test(text)) return text;
  return refusals.add(place, `"${String(expression)}" is no path of an element`);
}

/** A name that the access file takes, of any text. */
export function nameOf(text: string): string {
  return (
    text
      .trim()
      .replaceAll(/[^\w.:@-]+/g, '-')
      .slice(0, 60) || 'imported'
  );
}
