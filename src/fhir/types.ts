import { readFileSync } from 'node:fs';

/** An element of R4 that is not primitive. */
export type Element =
  /** `value[x]`; its types, or any type. */
  | { readonly of: 'choice'; readonly name: string; readonly types: ReadonlySet<string> | 'any' }
  /** An element of one type, or a backbone element, whose type is its path. */
  | { readonly of: 'type'; readonly type: string }
  /** A resource within a resource. */
  | { readonly of: 'resource' };

/** Types whose elements are those of Quantity. */
const QUANTITIES = new Set(['Age', 'Count', 'Distance', 'Duration', 'MoneyQuantity', 'SimpleQuantity']);

type Table = Readonly<Record<string, string>>;
/** Read at its first use, since few need it. */
let table: Table | undefined;

/** Made by `search/generate.mjs` from R4's StructureDefinitions (FHIR 4.0.1). */
function readTable(): Table {
  return JSON.parse(readFileSync(new URL('./types-r4.json', import.meta.url), 'utf8')) as Table;
}

const parsed = new Map<string, ReadonlyMap<string, Element>>();

/**
 * Returns the elements of a type that are not primitive, by name (`value` for `value[x]`). Empty for a primitive or unknown type.
 * @param type a resource type, a data type, or the path of a backbone element as `Patient.contact`
 */
export function elementsOf(type: string): ReadonlyMap<string, Element> {
  const known = parsed.get(type);
  if (known) return known;
  table ??= readTable();
  const row = table[QUANTITIES.has(type) ? 'Quantity' : type];
  const elements = new Map(row?.split(' ').map(elementIn));
  if (row !== undefined) parsed.set(type, elements);
  return elements;
}

function elementIn(word: string): [name: string, element: Element] {
  const choice = /^(\w+)\[(.+)\]$/.exec(word);
  if (choice) {
    const [, name = '', types = ''] = choice;
    return [name, { of: 'choice', name, types: types === '*' ? 'any' : new Set(types.split('|')) }];
  }
  const [name = '', type = ''] = word.split('>');
  return [name, type === '*' ? { of: 'resource' } : { of: 'type', type }];
}
