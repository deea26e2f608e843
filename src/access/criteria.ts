import { messageOf } from '../base/errors.ts';
import { isAbout } from '../events/grant.ts';
import { parseTypeFilter } from '../fhir/search/type-filter.ts';
import type { Rule } from './policy.ts';
import { refuseRedactedFilters } from './redacted-filters.ts';
import { forbidden } from './refusals.ts';

/** The most searches that a type of an export may have. */
const MAX_FILTERS = 100;

/** A criterion of a deny rule: one parameter without a modifier, such as `_security=…|R`. */
const DENIABLE = /^(\*|[A-Z]\w*)\?([\w-]+)=([^&]+)$/;

/** A rule, with `criteria` that are searches as `_typeFilter` has them; `*?…` is one of every type. */
type WithCriteria = Pick<Rule, 'effect' | 'types' | 'criteria'>;

/** Returns the criteria of a rule for a type, as searches of that type. */
function criteriaFor({ criteria = [] }: Pick<Rule, 'criteria'>, type: string): string[] {
  return criteria
    .filter((one) => one.startsWith('*?') || one.startsWith(`${type}?`))
    .map((one) => one.replace('*?', `${type}?`));
}

/** Returns one sentence for each criterion of a rule that cannot be evaluated, and for each type without one. */
export function criteriaProblems(rule: Rule, types: readonly string[]): string[] {
  if (!rule.criteria) return [];
  const odd = rule.criteria.find((one) => rule.effect === 'deny' && !DENIABLE.test(one));
  if (odd !== undefined)
    return [`${odd}: a deny rule takes one parameter without a modifier, such as *?_security=…`];
  if (rule.effect === 'deny' && rule.where.kind !== 'everything')
    return ['a deny rule has either criteria or another condition'];
  for (const type of types) {
    const own = criteriaFor(rule, type);
    if (own.length === 0) return [`there is none for ${type}; write ${type}?… or *?…`];
    for (const one of own)
      try {
        parseTypeFilter(one);
        if (rule.effect === 'deny') parseTypeFilter(negated(one));
        refuseRedactedFilters([one], [{ ...rule, where: { kind: 'everything' } }]);
      } catch (error) {
        return [messageOf(error).replace(/^_typeFilter: /, '')];
      }
  }
  return [];
}

/**
 * Returns the searches of a type that an export must have: those of the client, each of them together with the criteria of its rules and the
 * searches of its scopes. A resource is exported if one of them holds for it.
 * @param scopes searches of the scopes that cover the type; empty if one of them has none
 */
export function limitedFilters(
  type: string,
  {
    asked,
    scopes,
    rules,
  }: {
    readonly asked: readonly string[];
    readonly scopes: readonly string[];
    readonly rules: readonly WithCriteria[];
  },
): string[] {
  const about = rules.filter((rule) => isAbout(rule, type));
  const allowing = about.filter(({ effect }) => effect === 'allow');
  if (allowing.length > 1 && allowing.some(({ criteria }) => criteria))
    throw forbidden('rules', `your roles have several rules for ${type}, and one of them has criteria`);
  const all: (readonly string[])[] = [
    asked.filter((query) => query.startsWith(`${type}?`)),
    scopes,
    ...allowing.map((rule) => criteriaFor(rule, type)),
    ...about.flatMap((rule) =>
      rule.effect === 'deny' ? criteriaFor(rule, type).map((one) => [negated(one)]) : [],
    ),
  ];
  const [first = [], ...more] = all.filter((some) => some.length > 0);
  const filters = more.reduce<readonly string[]>(
    (some, others) => some.flatMap((one) => others.map((other) => `${one}&${other.slice(type.length + 1)}`)),
    first,
  );
  if (filters.length > MAX_FILTERS)
    throw forbidden(
      '_typeFilter',
      `_typeFilter: with the criteria of your role, ${type} has more than ${MAX_FILTERS} searches`,
    );
  return [...filters];
}

function negated(criterion: string): string {
  return criterion.replace('=', ':not=');
}
