import { isObject } from '../../base/is-object.ts';
import type { Leaf } from './search-parameters.ts';
import { type LeafTest, type SearchValue, unescapeValue } from './search-value.ts';

const PARTS: Readonly<Record<string, readonly string[]>> = {
  HumanName: ['text', 'family', 'given', 'prefix', 'suffix'],
  Address: ['text', 'line', 'city', 'district', 'state', 'postalCode', 'country'],
};

/** https://hl7.org/fhir/R4/search.html#string. Of a name or an address any part may match. */
export function stringTest(value: SearchValue, leaf: Leaf): LeafTest {
  const matches = textTest(unescapeValue(value.text), value.modifier);
  const parts = PARTS[leaf.dataType];
  if (!parts) return matches;
  return (found) =>
    isObject(found) &&
    parts.some((part) => {
      const texts = found[part];
      return Array.isArray(texts) ? texts.some(matches) : matches(texts);
    });
}

/** Without a modifier: begins with the text, letter case and accents apart. */
export function textTest(wanted: string, modifier?: string): LeafTest {
  if (modifier === 'exact') return (found) => found === wanted;
  const normal = normalise(wanted);
  if (modifier === 'contains')
    return (found) => typeof found === 'string' && normalise(found).includes(normal);
  return (found) => typeof found === 'string' && normalise(found).startsWith(normal);
}

function normalise(text: string): string {
  // ASCII has no accents to remove
  const plain = /^[\0-\x7f]*$/.test(text) ? text : text.normalize('NFD').replace(/\p{M}/gu, '');
  return plain.toLowerCase();
}
