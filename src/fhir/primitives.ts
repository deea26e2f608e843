import { readFileSync } from 'node:fs';

/** Read at its first use, since few need it. Made by `search/generate.mjs` from R4's StructureDefinitions (FHIR 4.0.1). */
let table: Readonly<Record<string, string>> | undefined;
const parsed = new Map<string, ReadonlyMap<string, string>>();
let names: ReadonlySet<string> | undefined;

function rows(): Readonly<Record<string, string>> {
  const url = new URL('./primitives-r4.json', import.meta.url);
  return (table ??= JSON.parse(readFileSync(url, 'utf8')) as Readonly<Record<string, string>>);
}

/**
 * Returns the primitive elements of a type with their types (`birthDate` → `date`), without choices. Empty for an unknown type.
 * @param type a resource type, a data type, or the path of a backbone element as `Patient.contact`
 */
export function primitivesOf(type: string): ReadonlyMap<string, string> {
  const known = parsed.get(type);
  if (known) return known;
  const all = rows();
  const words = Object.hasOwn(all, type) ? (all[type] ?? '') : '';
  const primitives = new Map(
    words.split(' ').flatMap((word): [string, string][] => {
      const [name = '', primitive = 'string'] = word.split(':');
      return name === '' ? [] : [[name, primitive]];
    }),
  );
  if (primitives.size > 0) parsed.set(type, primitives);
  return primitives;
}

/** Whether R4 has a type of this name: a resource, a data type or a primitive. */
export function isR4Type(name: string): boolean {
  names ??= new Set([
    ...Object.keys(rows()).filter((key) => !key.includes('.')),
    ...Object.values(rows()).flatMap((row) => row.split(' ').map((word) => word.split(':')[1] ?? 'string')),
    ...['url', 'uuid', 'time', 'BackboneElement', 'Element', 'Resource', 'DomainResource'],
  ]);
  return names.has(name);
}
