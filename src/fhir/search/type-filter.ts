import { RELATIVE_REFERENCES } from '../reference.ts';
import type { References } from '../reference.ts';
import { isResourceType, RESOURCE_TYPES } from '../resource-types.ts';
import { compileCriterion, type ResourceTest } from './criterion.ts';
import { findSearchParameter, searchedElements } from './search-parameters.ts';
import { refuse } from './search-value.ts';

/** One query of `_typeFilter`, compiled. */
export interface TypeFilter {
  readonly type: string;
  /** The query as it was given. */
  readonly query: string;
  /** All criteria hold. */
  readonly matches: ResourceTest;
  /** The root elements that it looks at, with their names in JSON. */
  readonly elements: readonly string[];
}

/** Decides which resources `_typeFilter` lets through. Made once, asked for each resource. */
export interface ResourceFilter {
  /**
   * Does one of the type's queries match? A type without queries passes. `lastUpdated`, ms since 1970, is used where the
   * resource has none of its own.
   */
  matches(type: string, resource: unknown, lastUpdated?: number | null): boolean;
  /** The root elements that the queries of a type look at, with their names in JSON: `matches` needs no others. */
  elementsOf(type: string): ReadonlySet<string>;
}

const NEXT_QUERY = new RegExp(`(?<=[^\\\\](?:\\\\\\\\)*),\\s*(?=(?:${RESOURCE_TYPES.join('|')})\\?)`, 'g');

/**
 * The queries in one `_typeFilter`, already percent-decoded once. Commas separate queries, and values inside a query: a query
 * begins only where `Type?` does. A value that was encoded twice as a whole is decoded here.
 */
export function splitTypeFilters(value: string): string[] {
  const whole = !value.includes('?') && /%3F/i.test(value) ? decode(value) : value;
  return whole.split(NEXT_QUERY).map((query) => query.trim());
}

/**
 * Compiles one query, like `Observation?code=http://loinc.org|1234-5&date=ge2020`. Throws bad-request with a sentence that names
 * the first thing in it that is wrong or cannot be evaluated. `references` knows which absolute references are to this server.
 */
export function parseTypeFilter(query: string, references: References = RELATIVE_REFERENCES): TypeFilter {
  const [, type, parameters = ''] = /^([^?]*)\?(.*)$/s.exec(query) ?? [];
  if (type === undefined) refuse(`"${query}" is no query; write Type?parameter=value.`);
  if (!isResourceType(type)) refuse(`FHIR R4 has no resource type "${type}".`);
  const parts = parameters.split('&').filter((part) => part !== '');
  if (parts.length === 0) refuse(`${type}? has no search parameter; write ${type}?parameter=value.`);
  const elements: string[] = [];
  const criteria = parts.map((part) => {
    const equals = part.indexOf('=');
    if (equals < 0) refuse(`${type}?${part} has no value; write ${type}?${part}=value.`);
    const name = decode(part.slice(0, equals));
    const criterion = { type, name, value: decodeValue(type, name, part.slice(equals + 1)) };
    const test = compileCriterion(criterion, references);
    elements.push(...searchedElements(type, name.split(':')[0] ?? ''));
    return test;
  });
  const matches: ResourceTest = (resource, lastUpdated) =>
    criteria.every((holds) => holds(resource, lastUpdated));
  return { type, query, matches, elements };
}

/** Compiles queries, those of a type as alternatives. Throws what `parseTypeFilter` throws. */
export function compileTypeFilters(queries: readonly string[], references?: References): ResourceFilter {
  const byType = new Map<string, TypeFilter[]>();
  for (const query of queries) {
    const filter = parseTypeFilter(query, references);
    byType.set(filter.type, [...(byType.get(filter.type) ?? []), filter]);
  }
  return {
    matches(type, resource, lastUpdated) {
      const filters = byType.get(type);
      return filters === undefined || filters.some((filter) => filter.matches(resource, lastUpdated));
    },
    elementsOf: (type) => new Set(byType.get(type)?.flatMap(({ elements }) => elements)),
  };
}

/** In a query string `+` is a space. In anything but text it has a meaning of its own: of time zones, codes, URLs. */
function decodeValue(type: string, name: string, value: string): string {
  const [code = '', modifier] = name.split(':');
  const isText = modifier === 'text' || findSearchParameter(type, code)?.type === 'string';
  return decode(isText ? value.replaceAll('+', ' ') : value);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse(`"${text}" has a % that begins no percent-encoding; write %25 for it.`);
  }
}
