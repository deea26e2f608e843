import { z } from 'zod';
import { messageOf } from '../../base/errors.ts';
import { compileTypeFilters } from '../../fhir/search/type-filter.ts';
import { parseYaml } from '../yaml-file.ts';
import { nameOf, pathOf, Refusals, typesOf } from './imported.ts';
import type { Imported, WrittenRule } from './imported.ts';

const entry = z.looseObject({
  resourceType: z.string(),
  criteria: z.string().optional(),
  interaction: z.array(z.string()).optional(),
  hiddenFields: z.array(z.string()).default([]),
});
type Entry = z.output<typeof entry>;

const accessPolicy = z.looseObject({
  resourceType: z.literal('AccessPolicy'),
  id: z.string().optional(),
  name: z.string().optional(),
  resource: z.array(entry).min(1),
});

/** About writing, or about nothing that decides who may read. */
const HARMLESS: ReadonlySet<string> = new Set([
  'readonly',
  'readonlyFields',
  'writeConstraint',
  'description',
  'id',
]);
const KNOWN: ReadonlySet<string> = new Set(['resourceType', 'criteria', 'interaction', 'hiddenFields']);
const POLICY_FIELDS: ReadonlySet<string> = new Set([
  'resourceType',
  'id',
  'meta',
  'name',
  'resource',
  'compartment',
]);
/** The patient of the caller, as a compartment. */
const OWN = /^([A-Z]\w*|\*)\?_compartment=%(?:patient|profile)$/;

/**
 * Reads an AccessPolicy of Medplum (packages/docs/docs/access/access-policies.md there). Its entries are alternatives, so each becomes an allow rule.
 *
 * | entry                                   | becomes                                             |
 * |-----------------------------------------|-----------------------------------------------------|
 * | no criteria                             | everything                                          |
 * | `_compartment=%patient` or `%profile`   | the own patient                                     |
 * | criteria without variables              | the same search                                     |
 * | other variables, other compartments     | refused                                             |
 * | hiddenFields                            | redactions                                          |
 * | interaction without read and search     | no rule                                             |
 *
 * @throws bad-config for a file that is not of this form, bad-request with one line for each part that cannot be carried over
 */
export function importMedplum(text: string, path: string): Imported {
  const policy = parseYaml(text, path, accessPolicy);
  const refusals = new Refusals();
  for (const field of Object.keys(policy))
    if (!POLICY_FIELDS.has(field)) refusals.add(field, 'it has no counterpart here');
  const notes: string[] = [];
  const rules = policy.resource.flatMap((one, i) => {
    const place = `resource ${String(i + 1)} (${one.resourceType})`;
    const { interaction } = one;
    if (interaction && !(interaction.includes('read') && interaction.includes('search'))) {
      notes.push(`${place}: it is not both read and searched, so it is not exported`);
      return [];
    }
    return ruleOf(one, i, { place, refusals }) ?? [];
  });
  refusals.throwIfAny();
  return { roles: new Map([[nameOf(policy.name ?? policy.id ?? 'medplum'), rules]]), notes };
}

function ruleOf(
  one: Entry,
  i: number,
  { place, refusals }: { readonly place: string; readonly refusals: Refusals },
): WrittenRule | undefined {
  for (const field of Object.keys(one))
    if (!KNOWN.has(field) && !HARMLESS.has(field)) refusals.add(place, `${field} has no counterpart here`);
  const types = typesOf(one.resourceType, place, refusals);
  const where = whereOf(one, place, refusals);
  const redact = one.hiddenFields.flatMap((field) => {
    const element = pathOf(field, one.resourceType, place, refusals);
    return element === undefined ? [] : [{ path: element, do: 'remove' } as const];
  });
  if (types === undefined || where === undefined) return undefined;
  const id = nameOf(`${one.resourceType === '*' ? 'all' : one.resourceType}-${String(i)}`);
  return { id, types, where, ...(redact.length > 0 && { redact }) };
}

function whereOf(
  { criteria, resourceType }: Entry,
  place: string,
  refusals: Refusals,
): WrittenRule['where'] | undefined {
  if (criteria === undefined) return 'everything';
  const prefix = `${resourceType}?`;
  if (!criteria.startsWith(prefix)) return refusals.add(place, `criteria: it does not begin with ${prefix}`);
  if (OWN.test(criteria)) return { patient: 'self' };
  if (criteria.includes('%'))
    return refusals.add(place, `criteria: ${criteria} has a variable that no token has here`);
  if (criteria.includes('_compartment='))
    return refusals.add(place, `criteria: ${criteria} names one compartment; use a Group`);
  try {
    compileTypeFilters([criteria]);
  } catch (error) {
    return refusals.add(place, `criteria: ${messageOf(error)}`);
  }
  return { criteria: [criteria] };
}
