import type { Redaction } from '../fhir/redaction.ts';

/** The data that a rule is about, once the claims are filled in. */
export type GrantCondition =
  | { readonly kind: 'everything' }
  | { readonly kind: 'any' }
  | { readonly kind: 'patients'; readonly ids: readonly string[] }
  | { readonly kind: 'groups'; readonly ids: readonly string[] };

export interface GrantRule {
  /** Role and rule, as `research/clinical`. */
  readonly id: string;
  readonly effect: 'allow' | 'deny';
  readonly types: '*' | readonly string[];
  readonly where: GrantCondition;
  readonly shared: 'any' | 'exclude';
  readonly redact: readonly Redaction[];
}

/**
 * The rights of one export, fixed when it was asked for. It travels with the request to every task, so that no policy is read again.
 * Deny rules come first; then the first allow rule that holds decides about a resource, with its redactions. Default is deny.
 */
export interface Grant {
  /** sha256 of the access file that it comes from. */
  readonly policy: string;
  readonly issuer: string;
  readonly client: string;
  readonly patient: string | undefined;
  readonly roles: readonly string[];
  /** Types that may be exported, sorted. */
  readonly types: readonly string[];
  readonly rules: readonly GrantRule[];
}

/** Binary only by its name: a rule for every type must not bring it along. */
export function isAbout({ types }: Pick<GrantRule, 'types'>, type: string): boolean {
  return types === '*' ? type !== 'Binary' : types.includes(type);
}

/** All redactions of a type, whichever rule lets its resources through; undefined if none does. */
export function redactionsOf(
  { rules }: Pick<Grant, 'rules'>,
  type: string,
): readonly Redaction[] | undefined {
  const allowing = rules.filter((rule) => rule.effect === 'allow' && isAbout(rule, type));
  return allowing.length === 0 ? undefined : allowing.flatMap(({ redact }) => redact);
}

/** The groups whose members its rules are about. */
export function groupsOf({ rules }: Grant): string[] {
  return [...new Set(rules.flatMap(({ where }) => (where.kind === 'groups' ? where.ids : [])))];
}
