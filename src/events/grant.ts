/**
 * The change of an element:
 * `remove`: it is left out; `mask`: it becomes a data-absent-reason `masked`, so that a mandatory element stays;
 * `year`: of a date the year is kept; `hash`: its text becomes its HMAC, the same for the same text.
 */
export type RedactionMethod = 'remove' | 'mask' | 'year' | 'hash';

/** One redaction of a rule. */
export interface Redaction {
  /**
   * An element's path below the resource: `name`, `address.line`, `value` (every type of a choice), `extension(url)` (of one url),
   * `**.Reference.display` (of every Reference, at any depth).
   */
  readonly path: string;
  readonly do: RedactionMethod;
  /** Name of the key of `hash`. */
  readonly key?: string | undefined;
}

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

/** The groups whose members its rules are about. */
export function groupsOf({ rules }: Grant): string[] {
  return [...new Set(rules.flatMap(({ where }) => (where.kind === 'groups' ? where.ids : [])))];
}
