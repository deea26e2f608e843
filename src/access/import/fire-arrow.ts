import { z } from 'zod';
import { parseYaml } from '../yaml-file.ts';
import { nameOf, pathOf, Refusals, typesOf } from './imported.ts';
import type { Imported, WrittenRedaction, WrittenRule } from './imported.ts';

const rule = z.looseObject({
  'client-role': z.string(),
  resource: z.string(),
  operation: z.string(),
  validator: z.unknown(),
  'identity-filter': z.string().optional(),
  'property-filters': z.array(z.looseObject({ property: z.string(), filter: z.string() })).default([]),
});
type Rule = z.output<typeof rule>;

const configuration = z.looseObject({
  'fire-arrow': z.looseObject({
    authorization: z.looseObject({
      'default-validator': z.string().optional(),
      'validation-rules': z.array(rule).optional(),
      rules: z.array(rule).optional(),
    }),
  }),
});

const READS: ReadonlySet<string> = new Set(['read', 'search', 'graphql-read', 'graphql-search']);
const WRITES: ReadonlySet<string> = new Set(['create', 'update', 'patch', 'delete']);
/** Fields whose meaning is known. Lists of blocked searches are derived from redactions here. */
const FIELDS: ReadonlySet<string> = new Set([
  ...['client-role', 'resource', 'operation', 'validator', 'identity-filter', 'property-filters'],
  ...['blocked-search-params', 'blocked-includes'],
]);
/** The key of invented values, a file in HEADWATER_KEYS_FOLDER. */
const KEY = 'fire-arrow';

/**
 * Reads the authorization rules of a Fire Arrow server (application.yaml; docs.firearrow.io, server/authorization).
 * An export lists and reads, so a type is exported by the rules that its `read` and its `search` share.
 *
 * | validator                                  | becomes                                   |
 * |--------------------------------------------|-------------------------------------------|
 * | Allowed                                    | everything                                |
 * | Forbidden                                  | no rule: what none permits is forbidden   |
 * | PatientCompartment of client role Patient  | the own patient                           |
 * | any other, and every identity filter       | refused: it depends on more than the record and its patients |
 *
 * @throws bad-config for a file that is not of this form, bad-request with one line for each part that cannot be carried over
 */
export function importFireArrow(text: string, path: string): Imported {
  const { authorization } = parseYaml(text, path, configuration)['fire-arrow'];
  const refusals = new Refusals();
  const fallback = authorization['default-validator'] ?? 'none';
  if (fallback !== 'Forbidden')
    refusals.add('default-validator', `it is ${fallback}; here, what no rule permits is forbidden`);
  const rules = authorization['validation-rules'] ?? authorization.rules ?? [];
  const notes: string[] = [];
  const roles = new Map<string, WrittenRule[]>();
  for (const [i, one] of rules.entries())
    if (!READS.has(one.operation) && !WRITES.has(one.operation))
      refusals.add(placeOf(one, i), `an export has no operation "${one.operation}"`);
  const reading = rules.map((one, i) => ({ one, i })).filter(({ one }) => READS.has(one.operation));
  for (const [role, ofRole] of Map.groupBy(reading, ({ one }) => one['client-role'])) {
    const byType = Map.groupBy(ofRole, ({ one }) => one.resource);
    if (byType.has('*') && byType.size > 1) {
      const others = [...byType.keys()].filter((type) => type !== '*').join(', ');
      refusals.add(role, `it has rules of every type and of ${others}; which decides is not documented`);
    }
    const name = nameOf(role);
    if (roles.has(name)) refusals.add(role, 'another role has this name here');
    roles.set(
      name,
      [...byType].flatMap(([type, ofType]) => rulesOf(ofType, `${role}, ${type}`, { refusals, notes })),
    );
  }
  refusals.throwIfAny();
  return { roles: new Map([...roles].filter(([, written]) => written.length > 0)), notes };
}

interface Placed {
  readonly one: Rule;
  readonly i: number;
}

/** Returns the rules of a role for a type, which are at most one: several are said to add up, but not how their filters do. */
function rulesOf(
  ofType: readonly Placed[],
  place: string,
  { refusals, notes }: { readonly refusals: Refusals; readonly notes: string[] },
): WrittenRule[] {
  const by = (operation: string) => ofType.filter(({ one }) => one.operation === operation);
  const [reads, searches] = [by('read'), by('search')];
  if (reads.length === 0 || searches.length === 0) {
    notes.push(`${place}: it is not both read and searched, so it is not exported`);
    return [];
  }
  if (reads.length > 1) refusals.add(place, 'it has several rules for read');
  if (searches.length > 1) refusals.add(place, 'it has several rules for search');
  const same = meaning(reads) === meaning(searches);
  if (!same) refusals.add(place, 'read and search have different rules');
  return (same ? reads : [...reads, ...searches]).flatMap(({ one, i }) => ruleOf(one, i, refusals) ?? []);
}

function ruleOf(one: Rule, i: number, refusals: Refusals): WrittenRule | undefined {
  const place = placeOf(one, i);
  const types = typesOf(one.resource, place, refusals);
  for (const field of Object.keys(one))
    if (!FIELDS.has(field)) refusals.add(place, `${field} has no counterpart here`);
  if (one['identity-filter'] !== undefined)
    refusals.add(
      place,
      'an identity-filter looks at the resource of the caller, which an export does not read',
    );
  const where = whereOf(one, place, refusals);
  const redact = one['property-filters'].flatMap(({ property, filter }): readonly WrittenRedaction[] => {
    const element = pathOf(property, one.resource, place, refusals);
    if (filter !== 'NullFilter' && filter !== 'RandomFilter')
      refusals.add(place, `the filter "${filter}" has no counterpart here`);
    if (element === undefined) return [];
    return [
      filter === 'RandomFilter' ? { path: element, do: 'random', key: KEY } : { path: element, do: 'remove' },
    ];
  });
  if (types === undefined || where === undefined || where === 'forbidden') return undefined;
  const id = nameOf(`${one.resource === '*' ? 'all' : one.resource}-${String(i)}`);
  return { id, types, where, ...(redact.length > 0 && { redact }) };
}

function whereOf(
  one: Rule,
  place: string,
  refusals: Refusals,
): Exclude<WrittenRule['where'], object> | { readonly patient: 'self' } | 'forbidden' | undefined {
  if (one.validator === 'Allowed') return 'everything';
  if (one.validator === 'Forbidden') return 'forbidden';
  if (one.validator === 'PatientCompartment' && one['client-role'] === 'Patient') return { patient: 'self' };
  const name = typeof one.validator === 'string' ? one.validator : JSON.stringify(one.validator);
  return refusals.add(
    place,
    `the validator ${name} of client role ${one['client-role']} has no counterpart here`,
  );
}

/** Returns the meaning of a list of rules, whichever operation it is for. */
function meaning(rules: readonly { readonly one: Rule }[]): string {
  return JSON.stringify(rules.map(({ one }) => ({ ...one, operation: undefined })));
}

function placeOf(one: Rule, i: number): string {
  return `rule ${String(i + 1)} (${one['client-role']}, ${one.resource}, ${one.operation})`;
}
