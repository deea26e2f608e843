import { readFileSync } from 'node:fs';

/** An element of a resource or of a data type. */
export interface Part {
  /** Its name without types: of a choice `value`. */
  readonly name: string;
  /** Its names in JSON with the types of their values: of a choice, one name for each type. */
  readonly keys: readonly { readonly key: string; readonly type: string }[];
  readonly list: boolean;
  readonly mandatory: boolean;
}

/** R4's elements by data type, resource type or path of a backbone element, as `generate.mjs` writes them. */
function readTable(): ReadonlyMap<string, string> {
  const file = new URL('parts-r4.json', import.meta.url);
  return new Map(Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>));
}

/** Read at its first use, since few need it. */
let table: ReadonlyMap<string, string> | undefined;
const known = new Map<string, readonly Part[]>();

/**
 * Returns the elements of a resource type (`Patient`), a data type (`HumanName`) or a backbone element (`Patient.contact`); a primitive type
 * has none.
 */
export function partsOf(at: string): readonly Part[] {
  let parts = known.get(at);
  if (!parts) {
    table ??= readTable();
    parts = table.get(at)?.split(' ').map(parsePart) ?? [];
    known.set(at, parts);
  }
  return parts;
}

/** Returns an element by its name; of a choice `value`, `value[x]` and `valueQuantity` mean the element with all its types. */
export function partOf(at: string, name: string): Part | undefined {
  const plain = name.replace('[x]', '');
  return partsOf(at).find((part) => part.name === plain || part.keys.some(({ key }) => key === name));
}

/** Whether values of a type are strings, numbers or booleans, which JSON stores with a second member `_name`. */
export function isPrimitive(type: string): boolean {
  return /^[a-z]/.test(type);
}

function parsePart(text: string): Part {
  const [, name = '', choice, list, mandatory, types = ''] = /^(\w+)(\[x\])?(\+?)(!?):(.*)$/.exec(text) ?? [];
  const keys = types.split('|').map((type) => ({
    key: choice === undefined ? name : name + type.charAt(0).toUpperCase() + type.slice(1),
    type,
  }));
  return { name, keys, list: list === '+', mandatory: mandatory === '!' };
}
