import { readFileSync } from 'node:fs';
import { HeadwaterError } from '../base/errors.ts';
import { isResourceType } from './resource-types.ts';

/** What `_elements` asks for: names of root elements, by type; under `undefined` those meant for every type. */
export type Elements = ReadonlyMap<string | undefined, ReadonlySet<string>>;

type Resource = Readonly<Record<string, unknown>>;

const SUBSETTED = {
  system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue',
  code: 'SUBSETTED',
};

/** R4's root elements by type, `!` after those that are mandatory, `[x]` after those with a choice of type. */
// Read here: as an imported module its type would have hundreds of members.
const TABLE: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(
    JSON.parse(readFileSync(new URL('elements-r4.json', import.meta.url), 'utf8')) as Record<string, string>,
  ).map(([type, elements]) => [type, elements.split(' ')]),
);

/** Reads the values of `_elements`, each one or several of `element` and `Type.element`; throws bad-request naming a wrong one. */
export function parseElements(values: readonly string[]): Elements {
  const elements = new Map<string | undefined, Set<string>>();
  for (const text of values.flatMap((value) => value.split(',')).map((part) => part.trim())) {
    const [, type, name = ''] = /^(?:([^.]*)\.)?([^.]*)$/.exec(text) ?? [];
    if (name === '') refuse(`"${text}" is no root element; write element or Type.element.`);
    if (type !== undefined && !isResourceType(type)) refuse(`FHIR R4 has no resource type "${type}".`);
    const base = name.replace(/\[x\]$/, '');
    const types = type === undefined ? [...TABLE.keys()] : [type];
    if (base !== 'resourceType' && !types.some((candidate) => namesOf(candidate).includes(base))) {
      refuse(`FHIR R4 has no root element "${name}" in ${type ?? 'any resource type'}.`);
    }
    elements.set(type, (elements.get(type) ?? new Set()).add(base));
  }
  return elements;
}

/**
 * Compiles `_elements` to what cuts a resource down to the elements asked for, the mandatory ones, id and meta, and tags it
 * SUBSETTED. A resource of a type that is not addressed is returned itself. Throws what `parseElements` throws.
 */
export function compileElements(values: readonly string[]): (type: string, resource: Resource) => Resource {
  const elements = parseElements(values);
  const keepers = new Map<string, (key: string) => boolean>();
  return (type, resource) => {
    if (!elements.has(undefined) && !elements.has(type)) return resource;
    const keep = keepers.get(type) ?? keeper(type, elements);
    keepers.set(type, keep);
    return subset(resource, keep);
  };
}

function subset(resource: Resource, keep: (key: string) => boolean): Resource {
  const { resourceType, id, meta, ...others } = resource;
  const kept = Object.entries(others).filter(([key]) => keep(key));
  return {
    resourceType,
    ...(id === undefined ? {} : { id }),
    meta: tagged(meta),
    ...Object.fromEntries(kept),
  };
}

function tagged(meta: unknown): Record<string, unknown> {
  const known = (meta ?? {}) as Record<string, unknown>;
  const tags = Array.isArray(known['tag']) ? (known['tag'] as readonly unknown[]) : [];
  return tags.some(isSubsetted) ? known : { ...known, tag: [...tags, SUBSETTED] };
}

function isSubsetted(tag: unknown): boolean {
  const { system, code } = (tag ?? {}) as { system?: unknown; code?: unknown };
  return system === SUBSETTED.system && code === SUBSETTED.code;
}

/** Does a property of the JSON belong to an element to keep? `_birthDate` goes with `birthDate`, `valueQuantity` with `value`. */
function keeper(type: string, elements: Elements): (key: string) => boolean {
  const wanted = new Set([...(elements.get(undefined) ?? []), ...(elements.get(type) ?? [])]);
  const kept = (TABLE.get(type) ?? []).filter((row) => row.endsWith('!') || wanted.has(nameOf(row)));
  const plain = new Set(kept.filter((row) => !row.includes('[x]')).map(nameOf));
  const choices = kept.filter((row) => row.includes('[x]')).map(nameOf);
  return (key) => {
    const name = key.startsWith('_') ? key.slice(1) : key;
    return (
      plain.has(name) ||
      choices.some((base) => name.startsWith(base) && /^[A-Z]/.test(name.slice(base.length)))
    );
  };
}

function namesOf(type: string): string[] {
  return (TABLE.get(type) ?? []).map(nameOf);
}

function nameOf(row: string): string {
  return row.replace(/!$/, '').replace('[x]', '');
}

function refuse(message: string): never {
  throw new HeadwaterError('bad-request', `_elements: ${message}`, { subject: '_elements' });
}
