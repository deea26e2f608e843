import { isObject } from '../../base/is-object.ts';
import { formatInstant } from '../instant.ts';
import type { References } from '../reference.ts';
import { RESOURCE_TYPES } from '../resource-types.ts';
import { dateTest } from './date-search.ts';
import { type ElementPath, someAt } from './element-path.ts';
import { numberTest, quantityTest } from './number-search.ts';
import { referenceTest, uriTest } from './reference-search.ts';
import { canEvaluate, findSearchParameter } from './search-parameters.ts';
import type { CompositePart, Leaf, ParameterType, SearchParameter } from './search-parameters.ts';
import { type LeafTest, refuse, type SearchValue, splitUnescaped } from './search-value.ts';
import { stringTest } from './string-search.ts';
import { tokenTest } from './token-search.ts';

/** One `name=value` of a query, percent-decoded. */
export interface QueryPart {
  readonly type: string;
  readonly name: string;
  readonly value: string;
}

/** `lastUpdated`, ms since 1970, stands in for a `meta.lastUpdated` that the resource does not have. */
export type ResourceTest = (resource: unknown, lastUpdated?: number | null) => boolean;

interface Place {
  readonly path: ElementPath;
  readonly test: LeafTest;
}

const TESTS: Readonly<Record<ParameterType, ((value: SearchValue, leaf: Leaf) => LeafTest) | undefined>> = {
  token: tokenTest,
  string: stringTest,
  date: dateTest,
  number: numberTest,
  quantity: quantityTest,
  reference: referenceTest,
  uri: uriTest,
  composite: undefined,
  special: undefined,
};

/** Parameters that shape a list of results or search across resources. */
const NOT_ONE_RESOURCE =
  /^(?:_sort|_include|_revinclude|_count|_elements|_summary|_total|_filter|_query|_list|_has|_contained|_containedType|_format|_pretty|_type)$/;

/** Compiles one criterion; whatever is not understood in it is refused by name. */
export function compileCriterion({ type, name, value }: QueryPart, references: References): ResourceTest {
  const [code = '', modifier, ...more] = name.split(':');
  if (NOT_ONE_RESOURCE.test(code))
    refuse(`${code} is no search on a single resource; leave it out of ${type}?.`);
  if (name.includes('.'))
    refuse(`${type}?${name} is a chained search, which reads other resources; it is not supported.`);
  const parameter = findSearchParameter(type, code);
  if (!parameter) refuse(`FHIR R4 has no search parameter "${code}" for ${type}.`);
  if (!canEvaluate(parameter))
    refuse(`${type}?${code} cannot be evaluated; only searches on a resource's own elements can.`);
  if (more.length > 0) refuse(`${type}?${name} has more than one modifier.`);
  if (modifier !== undefined) checkModifier(type, parameter, modifier);
  if (value === '') refuse(`${type}?${name} has no value.`);

  const label = `${type}?${code}`;
  const places = parameter.type === 'composite' ? compositePlaces : plainPlaces;
  if (modifier === 'missing') return missingTest(parameter, value, label);
  const found = places(parameter, splitUnescaped(value, ','), { label, modifier, references });
  const matches: ResourceTest = (resource) => found.some(({ path, test }) => someAt(resource, path, test));
  if (modifier === 'not') return (resource) => !matches(resource);
  return code === '_lastUpdated' ? withLastUpdated(matches) : matches;
}

interface Context {
  readonly label: string;
  readonly modifier: string | undefined;
  readonly references: References;
}

function plainPlaces(parameter: SearchParameter, values: readonly string[], context: Context): Place[] {
  return placesOf(parameter, parameter.targets, values, context);
}

function placesOf(
  { type, leaves }: CompositePart,
  targets: readonly string[] | undefined,
  values: readonly string[],
  context: Context,
): Place[] {
  const testOf = TESTS[type];
  if (!testOf) return [];
  return leaves.map((leaf) => ({
    path: leaf.path,
    test: anyOf(
      values.map((text) => testOf({ ...context, text: checked(text, context), leaves, targets }, leaf)),
    ),
  }));
}

/** All parts have to hold for the same element. */
function compositePlaces(parameter: SearchParameter, values: readonly string[], context: Context): Place[] {
  const tests = values.map((text): LeafTest => {
    const texts = splitUnescaped(checked(text, context), '$');
    if (texts.length !== parameter.parts.length) {
      refuse(
        `"${text}" is no value for ${context.label}; it needs ${parameter.parts.length} values with $ between them.`,
      );
    }
    const parts = parameter.parts.map((part, index) =>
      placesOf(part, undefined, [texts[index] ?? ''], context),
    );
    return (element) => parts.every((places) => places.some(({ path, test }) => someAt(element, path, test)));
  });
  return parameter.roots.map((path) => ({ path, test: anyOf(tests) }));
}

function anyOf(tests: readonly LeafTest[]): LeafTest {
  const [first] = tests;
  return tests.length === 1 && first ? first : (found) => tests.some((test) => test(found));
}

function checked(text: string, { label }: Context): string {
  if (text === '') refuse(`${label} has an empty value.`);
  // Text after a comma would be another query if its type were known
  const [, type] = /^\s*([A-Z][A-Za-z]*)\?/.exec(text) ?? [];
  if (type !== undefined)
    refuse(`"${type}?" after a comma in ${label} begins no query: FHIR R4 has no resource type "${type}".`);
  return text;
}

function missingTest(parameter: SearchParameter, value: string, label: string): ResourceTest {
  if (value !== 'true' && value !== 'false') refuse(`${label}:missing is true or false, not "${value}".`);
  const present: LeafTest = () => true;
  const places: Place[] =
    parameter.type === 'composite'
      ? parameter.roots.map((path) => ({ path, test: hasAllParts(parameter.parts) }))
      : parameter.leaves.map(({ path }) => ({ path, test: present }));
  return (resource) => places.some(({ path, test }) => someAt(resource, path, test)) === (value === 'false');
}

function hasAllParts(parts: readonly CompositePart[]): LeafTest {
  return (element) =>
    parts.every(({ leaves }) => leaves.some(({ path }) => someAt(element, path, () => true)));
}

function checkModifier(type: string, parameter: SearchParameter, modifier: string): void {
  const known = modifiersOf(parameter);
  if (known.includes(modifier)) return;
  const list = known.map((name) => `:${name}`).join(', ');
  refuse(
    `:${modifier} is not supported in ${type}?${parameter.name}:${modifier}; modifiers of this ${parameter.type} are ${list}.`,
  );
}

function modifiersOf({ type, leaves, targets }: SearchParameter): string[] {
  const has = (...dataTypes: string[]) => leaves.some(({ dataType }) => dataTypes.includes(dataType));
  switch (type) {
    case 'token':
      return [
        'missing',
        'not',
        ...(has('CodeableConcept', 'Coding', 'Identifier') ? ['text'] : []),
        ...(has('Identifier') ? ['of-type'] : []),
      ];
    case 'string':
      return ['missing', 'exact', 'contains'];
    case 'reference':
      return has('Reference') ? ['missing', 'identifier', ...(targets ?? RESOURCE_TYPES)] : ['missing'];
    default:
      return ['missing'];
  }
}

function withLastUpdated(matches: ResourceTest): ResourceTest {
  return (resource, lastUpdated) => {
    const meta = isObject(resource) ? resource['meta'] : undefined;
    if (typeof lastUpdated !== 'number' || (isObject(meta) && meta['lastUpdated'] !== undefined))
      return matches(resource);
    return matches({ meta: { lastUpdated: formatInstant(lastUpdated) } });
  };
}
