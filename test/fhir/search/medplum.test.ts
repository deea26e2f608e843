import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evalFhirPath, getAllDataTypes, globalSchema, matchesSearchRequest, Operator } from '@medplum/core';
import { canEvaluate, findSearchParameter } from '../../../src/fhir/search/search-parameters.ts';
import { parseTypeFilter } from '../../../src/fhir/search/type-filter.ts';
import { sampleLines } from '../../support/sample.ts';

// Medplum evaluates R4's expressions as FHIRPath. It is compared with in what they find, and in those searches that it does as R4
// says: not numbers and quantities, which it never matches, nor `eq` of periods and times, which it takes for "overlaps".

type Resource = Parameters<typeof matchesSearchRequest>[0];

/** `generate.mjs` wrote it: by type and parameter its type and expression; by type or path the elements on their way. */
const DEFINITIONS = JSON.parse(readFileSync(join(import.meta.dirname, 'r4-definitions.json'), 'utf8')) as {
  expressions: Record<string, Record<string, [kind: string, expression: string]>>;
  elements: Record<string, Record<string, string>>;
};
/** Of each type 60 resources, or all. */
const resources = new Map<string, Resource[]>(
  [...sampleLines()].map(([type, lines]) => {
    const chosen = lines.filter((_, at) => at % Math.ceil(lines.length / 60) === 0);
    return [type, chosen.map((line) => JSON.parse(line))];
  }),
);

// FHIRPath's `as` is for a single value, but R4's expressions mean each of several.
const parameters = Object.entries(DEFINITIONS.expressions).flatMap(([type, own]) =>
  Object.entries(own).flatMap(([code, [kind, expression]]) => {
    const known = findSearchParameter(type, code);
    const narrowed = expression
      .replaceAll(/\((\S+) as (\w+)\)/g, '$1.ofType($2)')
      .replaceAll('.as(', '.ofType(');
    return known && canEvaluate(known) && kind !== 'composite'
      ? [{ type, code, kind, expression: narrowed }]
      : [];
  }),
);

describe('compared with Medplum, on real resources,', () => {
  before(() => {
    const dataTypes = getAllDataTypes() as Record<string, unknown>;
    const searches = globalSchema.types as Record<string, unknown>;
    for (const [at, elements] of Object.entries(DEFINITIONS.elements)) {
      const entries = Object.entries(elements).map(([name, types]) => [
        name,
        { path: `${at}.${name}`, type: types.split(' ').map((code) => ({ code })) },
      ]);
      const searchParams = parameters
        .filter(({ type }) => type === at)
        .map(({ code, kind, expression }) => [code, { code, type: kind, expression }]);
      // Its own types, like Identifier, are whole; and so has to stay what is there of them.
      dataTypes[at] ??= { elements: Object.fromEntries(entries) };
      searches[at] = { searchParams: Object.fromEntries(searchParams) };
    }
  });

  it('every search parameter finds a value exactly where its expression does', () => {
    let found = 0;
    for (const { type, code, expression } of parameters) {
      const filter = parseTypeFilter(`${type}?${code}:missing=false`);
      for (const resource of resources.get(type) ?? []) {
        const expected = evalFhirPath(expression, resource).length > 0;
        assert.equal(filter.matches(resource), expected, `${type}?${code} in ${resource.id}`);
        if (expected) found += 1;
      }
    }
    assert.ok(found > 5_000, `${found}`);
  });

  it('tokens, references, texts and dates match the same resources', () => {
    const matched: Record<string, number> = {};
    for (const { type, code, kind, expression } of parameters) {
      const own = resources.get(type) ?? [];
      const values = own.flatMap((resource) => evalFhirPath(expression, resource));
      for (const { suffix, operator, prefix, value } of searchesFor(kind, values)) {
        const query = `${type}?${code}${suffix}=${prefix}${encodeURIComponent(value)}`;
        const filter = parseTypeFilter(query);
        const request = { resourceType: type as 'Patient', filters: [{ code, operator, value }] };
        for (const resource of own) {
          const expected = matchesSearchRequest(resource, request);
          assert.equal(filter.matches(resource), expected, `${query} on ${resource.id}`);
          if (expected) matched[kind] = (matched[kind] ?? 0) + 1;
        }
      }
    }
    const least = { token: 10_000, date: 8_000, reference: 700, string: 200 };
    for (const [kind, count] of Object.entries(least)) {
      assert.ok((matched[kind] ?? 0) > count, JSON.stringify(matched));
    }
  }).timeout(60_000);
});

interface Search {
  suffix: string;
  operator: Operator;
  prefix: string;
  value: string;
}

/** Four of the values found, in each way of searching that Medplum does as R4 says. */
function searchesFor(kind: string, found: unknown[]): Search[] {
  const values = [...new Set(found.flatMap((value) => textsOf(kind, value)))];
  const chosen = values.filter((_, at) => at % Math.ceil(values.length / 4) === 0);
  const hasPeriods = found.some((value) => typeof value === 'object');
  return chosen.flatMap((value) =>
    (WAYS[kind] ?? [])
      .filter(
        ({ operator }) =>
          kind !== 'date' || operator !== Operator.EQUALS || !(hasPeriods || value.includes('T')),
      )
      .map((way) => ({ ...way, value })),
  );
}

const WAYS: Record<string, Omit<Search, 'value'>[]> = {
  token: [
    { suffix: '', operator: Operator.EQUALS, prefix: '' },
    { suffix: ':not', operator: Operator.NOT, prefix: '' },
  ],
  reference: [{ suffix: '', operator: Operator.EQUALS, prefix: '' }],
  string: [{ suffix: ':contains', operator: Operator.CONTAINS, prefix: '' }],
  date: [
    { suffix: '', operator: Operator.EQUALS, prefix: '' },
    { suffix: '', operator: Operator.GREATER_THAN, prefix: 'gt' },
    { suffix: '', operator: Operator.GREATER_THAN_OR_EQUALS, prefix: 'ge' },
    { suffix: '', operator: Operator.LESS_THAN, prefix: 'lt' },
    { suffix: '', operator: Operator.LESS_THAN_OR_EQUALS, prefix: 'le' },
    { suffix: '', operator: Operator.STARTS_AFTER, prefix: 'sa' },
    { suffix: '', operator: Operator.ENDS_BEFORE, prefix: 'eb' },
  ],
};

interface Found {
  reference?: string;
  start?: string;
  end?: string;
  system?: string;
  code?: string;
  value?: string;
  coding?: Found[];
}

function textsOf(kind: string, found: unknown): string[] {
  if (typeof found === 'boolean') return [String(found)];
  if (typeof found === 'string') {
    if (kind === 'date') return [found, found.slice(0, 10)];
    return /^[\w .-]+$/.test(found) ? [found] : [];
  }
  const { reference, start, end, coding = [], ...pair } = found as Found;
  if (kind === 'reference')
    return reference !== undefined && /^\w+\/[\w.-]+$/.test(reference) ? [reference] : [];
  if (kind === 'date') return [start, end].flatMap((text) => (text ? [text, text.slice(0, 10)] : []));
  return [pair, ...coding].flatMap(({ system, code, value = code }) =>
    system && value ? [`${system}|${value}`, `${system}|`, value] : [],
  );
}
