import { readFileSync } from 'node:fs';
import { HeadwaterError } from '../base/errors.ts';
import { isResourceType } from './resource-types.ts';
import { subset } from './subset.ts';

/** The elements that `_elements` names: names of root elements, by type; under `undefined` those meant for every type. */
export type Elements = ReadonlyMap<string | undefined, ReadonlySet<string>>;

interface RootElement {
  /** Names that clients may use: of a choice of types `value`, `value[x]` and `valueQuantity`. */
  readonly names: readonly string[];
  /** Its names in JSON: of a choice, one name for each type. */
  readonly keys: readonly string[];
  /** Mandatory, a modifier, or asked for by an invariant: it stays whatever is wanted. */
  readonly stays: boolean;
  readonly mandatory: boolean;
}

/** R4's root elements by type, as `generate.mjs` writes them. */
// Read here: as an imported module its type would have hundreds of members.
const TABLE: ReadonlyMap<string, readonly RootElement[]> = new Map(
  Object.entries(
    JSON.parse(readFileSync(new URL('elements-r4.json', import.meta.url), 'utf8')) as Record<string, string>,
  ).map(([type, elements]) => [type, elements.split(' ').map(rootElement)]),
);

function rootElement(text: string): RootElement {
  const [, name = '', types, mark] = /^(\w+)(?:\[(.*)\])?([!?*]?)$/.exec(text) ?? [];
  const keys = types?.split('|').map((type) => name + type.charAt(0).toUpperCase() + type.slice(1)) ?? [name];
  return {
    names: types === undefined ? keys : [name, `${name}[x]`, ...keys],
    keys,
    stays: mark !== '',
    mandatory: mark === '!',
  };
}

/** Reads the values of `_elements`, each one or several of `element` and `Type.element`; throws bad-request naming a wrong one. */
export function parseElements(values: readonly string[]): Elements {
  const elements = new Map<string | undefined, Set<string>>();
  for (const text of values.flatMap((value) => value.split(',')).map((part) => part.trim())) {
    const [, type, name = ''] = /^(?:([^.]*)\.)?([^.]*)$/.exec(text) ?? [];
    if (name === '') refuse(`"${text}" is no root element; write element or Type.element.`);
    if (type !== undefined && !isResourceType(type)) refuse(`FHIR R4 has no resource type "${type}".`);
    const types = type === undefined ? [...TABLE.keys()] : [type];
    if (name !== 'resourceType' && !types.some((candidate) => isRootElement(candidate, name)))
      refuse(`FHIR R4 has no root element "${name}" in ${type ?? 'any resource type'}.`);
    elements.set(type, (elements.get(type) ?? new Set()).add(name));
  }
  return elements;
}

function isRootElement(type: string, name: string): boolean {
  return TABLE.get(type)?.some(({ names }) => names.includes(name)) ?? false;
}

/** Cuts the bytes [start, end) of a resource's JSON down. Throws `corrupt` for what is no JSON object. */
export type Reduce = (bytes: Buffer, start: number, end: number) => Buffer;

/**
 * Compiles `_elements` to what cuts resources of a type down to the elements asked for, those that stay, id and meta, and tags them
 * SUBSETTED; undefined when the type is not addressed. Throws what `parseElements` throws.
 */
export function compileElements(values: readonly string[], type: string): Reduce | undefined {
  const elements = parseElements(values);
  if (!elements.has(undefined) && !elements.has(type)) return undefined;
  const wanted = new Set([...(elements.get(undefined) ?? []), ...(elements.get(type) ?? [])]);
  const kept = (TABLE.get(type) ?? [])
    .filter(({ names, stays }) => stays || names.some((name) => wanted.has(name)))
    .flatMap(({ keys }) => keys);
  const keys = new Set(kept.flatMap((key) => [key, `_${key}`])); // `_birthDate` goes with `birthDate`
  return (bytes, start, end) => subset(bytes, { start, end }, keys);
}

function refuse(message: string): never {
  throw new HeadwaterError('bad-request', `_elements: ${message}`, { subject: '_elements' });
}
