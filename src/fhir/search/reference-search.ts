import { isObject } from '../../base/is-object.ts';
import { isId } from '../reference.ts';
import { isResourceType } from '../resource-types.ts';
import type { Leaf } from './search-parameters.ts';
import { type LeafTest, refuse, type SearchValue, unescapeValue } from './search-value.ts';
import { referenceIdentifierTest } from './token-search.ts';

const RELATIVE = /^([A-Za-z]+)\/([A-Za-z0-9\-.]{1,64})(\/_history\/[A-Za-z0-9\-.]{1,64})?$/;
const TYPE_IN_URL = /(?:^|\/)([A-Z][A-Za-z]+)\/[A-Za-z0-9\-.]{1,64}(?:\/_history\/[^/]*)?$/;

/**
 * https://hl7.org/fhir/R4/search.html#reference. `id` and `Type/id` are found in relative references, and in absolute ones below a
 * base URL of this server; other absolute ones are another server's. A version in a resource's reference is no hindrance; one in the search has to be there.
 */
export function referenceTest(value: SearchValue, leaf: Leaf): LeafTest {
  if (leaf.dataType !== 'Reference') return canonicalTest(unescapeValue(value.text));
  if (value.modifier === 'identifier') return referenceIdentifierTest(value);
  const matches = urlTest(value);
  const [type] = leaf.qualifiers;
  return (found) => {
    if (!isObject(found)) return false;
    const { reference } = found;
    if (typeof reference !== 'string' || !matches(value.references.relative(reference))) return false;
    return type === undefined || (TYPE_IN_URL.exec(reference)?.[1] ?? found['type']) === type;
  };
}

/** https://hl7.org/fhir/R4/search.html#uri: the same to the letter. A canonical that carries a version is also found without it. */
export function uriTest(value: SearchValue, leaf: Leaf): LeafTest {
  const wanted = unescapeValue(value.text);
  return leaf.dataType === 'canonical' ? canonicalTest(wanted) : (found) => found === wanted;
}

function canonicalTest(wanted: string): LeafTest {
  return (found) => found === wanted || (typeof found === 'string' && found.startsWith(`${wanted}|`));
}

function urlTest(value: SearchValue): (reference: string) => boolean {
  const text = value.references.relative(unescapeValue(value.text));
  if (text.includes(':')) return sameOrVersionOf(text); // absolute, or a URN
  if (isId(text)) {
    const types = value.modifier === undefined ? undefined : [value.modifier];
    return (reference) => {
      const [, type = '', id] = RELATIVE.exec(reference) ?? [];
      return id === text && (types === undefined || types.includes(type));
    };
  }
  const [, type] = RELATIVE.exec(text) ?? [];
  if (type === undefined || !isResourceType(type)) {
    refuse(`"${value.text}" is no reference for ${value.label}; write an id, Type/id or an absolute URL.`);
  }
  if (value.modifier !== undefined && value.modifier !== type) {
    refuse(`${value.label}:${value.modifier} cannot be ${type}/….`);
  }
  if (value.targets && !value.targets.includes(type)) {
    refuse(`${value.label} cannot refer to ${type}; it refers to ${value.targets.join(', ')}.`);
  }
  return sameOrVersionOf(text);
}

function sameOrVersionOf(wanted: string): (reference: string) => boolean {
  const versions = `${wanted}/_history/`;
  return (reference) => reference === wanted || reference.startsWith(versions);
}
