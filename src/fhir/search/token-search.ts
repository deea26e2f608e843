import { isObject } from '../../base/is-object.ts';
import type { Leaf } from './search-parameters.ts';
import { type LeafTest, refuse, type SearchValue, splitUnescaped, unescapeValue } from './search-value.ts';
import { textTest } from './string-search.ts';

/** A token: a system that is undefined is any, an empty one is none; an undefined code is any. */
interface Token {
  readonly system: string | undefined;
  readonly code: string | undefined;
}

/**
 * https://hl7.org/fhir/R4/search.html#token. Letter case counts in systems, in ids and in codes that FHIR defines; elsewhere it
 * does not, as R4 advises where a code system's rule is not known. The modifier `:not` is the caller's.
 */
export function tokenTest(value: SearchValue, leaf: Leaf): LeafTest {
  if (value.modifier === 'text') return displayTest(textTest(unescapeValue(value.text)), leaf.dataType);
  if (value.modifier === 'of-type') return ofTypeTest(value);
  const token = parseToken(value);
  switch (leaf.dataType) {
    case 'CodeableConcept': {
      const matches = pairTest(token, 'code');
      return (found) => isObject(found) && Array.isArray(found['coding']) && found['coding'].some(matches);
    }
    case 'Coding':
      return pairTest(token, 'code');
    case 'Identifier':
    case 'ContactPoint':
      return pairTest(token, 'value');
    case 'code':
      return codeTest(token, leaf.qualifiers);
    case 'boolean':
      return booleanTest(token, value);
    default:
      if (token.system !== undefined && token.system !== '')
        refuse(`${value.label} is searched without a system.`);
      return (found) => found === token.code;
  }
}

/** `:identifier` of a reference: by the identifier that is given in it. */
export function referenceIdentifierTest(value: SearchValue): LeafTest {
  const matches = pairTest(parseToken(value), 'value');
  return (found) => isObject(found) && matches(found['identifier']);
}

function parseToken(value: SearchValue): Token {
  const parts = splitUnescaped(value.text, '|').map(unescapeValue);
  const [first = '', second] = parts;
  if (parts.length > 2 || (first === '' && !second)) {
    refuse(
      `"${value.text}" is no value for the token ${value.label}; write code, system|code, |code or system|.`,
    );
  }
  if (second === undefined) return { system: undefined, code: first };
  return { system: first, code: second === '' ? undefined : second };
}

function pairTest(token: Token, key: 'code' | 'value'): LeafTest {
  const { system } = token;
  const matches = foldedTest(token.code);
  return (found) => {
    if (!isObject(found)) return false;
    if (system !== undefined && (found['system'] ?? '') !== system) return false;
    return matches(found[key]);
  };
}

function foldedTest(code: string | undefined): LeafTest {
  if (code === undefined) return (found) => typeof found === 'string';
  const folded = code.toLowerCase();
  return (found) => found === code || (typeof found === 'string' && found.toLowerCase() === folded);
}

/** A `code` states no system: it is of the ones its definition binds it to. */
function codeTest({ system, code }: Token, systems: readonly string[]): LeafTest {
  if (system !== undefined && system !== '' && !systems.includes(system)) return () => false;
  return (found) => typeof found === 'string' && (code === undefined || found === code);
}

function booleanTest({ code }: Token, value: SearchValue): LeafTest {
  if (code !== 'true' && code !== 'false' && value.leaves.length === 1) {
    refuse(`"${value.text}" is no value for ${value.label}; write true or false.`);
  }
  return (found) => String(found) === code;
}

function displayTest(matches: LeafTest, dataType: string): LeafTest {
  if (dataType === 'Identifier') {
    return (found) => isObject(found) && isObject(found['type']) && matches(found['type']['text']);
  }
  const display: LeafTest = (found) => isObject(found) && matches(found['display']);
  if (dataType === 'Coding') return display;
  if (dataType !== 'CodeableConcept') return () => false;
  return (found) =>
    isObject(found) &&
    (matches(found['text']) || (Array.isArray(found['coding']) && found['coding'].some(display)));
}

/** `:of-type=system|code|value`: the identifier's type has that coding, and the identifier that value. */
function ofTypeTest(value: SearchValue): LeafTest {
  const [system = '', code = '', wanted = '', ...more] = splitUnescaped(value.text, '|').map(unescapeValue);
  if (system === '' || code === '' || wanted === '' || more.length > 0) {
    refuse(`"${value.text}" is no value for ${value.label}:of-type; write system|code|value.`);
  }
  const isType = pairTest({ system, code }, 'code');
  const isValue = foldedTest(wanted);
  return (found) => {
    if (!isObject(found) || !isValue(found['value'])) return false;
    const codings = isObject(found['type']) ? found['type']['coding'] : undefined;
    return Array.isArray(codings) && codings.some(isType);
  };
}
