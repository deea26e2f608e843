import type { Redaction } from '../fhir/redaction.ts';

/** The resources that a rule is about, with the claims filled in. */
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
  /** Searches of the rule. The filters of the request contain them already. */
  readonly criteria?: readonly string[] | undefined;
}

/**
 * The rights of one export, fixed at its kick-off. The grant travels with the request to every task, so no task reads the access file.
 * Deny rules come first. Then the first allow rule that holds lets a resource through, with its redactions. The default is to deny.
 */
export interface Grant {
  /** sha256 of the access file at the kick-off. */
  readonly policy: string;
  readonly issuer: string;
  readonly client: string;
  readonly patient: string | undefined;
  readonly roles: readonly string[];
  /** Types that may be exported, sorted. */
  readonly types: readonly string[];
  readonly rules: readonly GrantRule[];
  /** The searches of each type that rules or scopes limit; a resource must match one of its type. */
  readonly queries?: readonly string[] | undefined;
  /** undefined = resources keep what identifies their subjects. */
  readonly deidentify?: GrantDeidentification | undefined;
}

/** The configuration that de-identifies the resources of an export. It holds no secret: workers have the keys. */
export interface GrantDeidentification {
  readonly name: string;
  /** sha256 of the configuration, in hex. */
  readonly hash: string;
  readonly scope: string;
  /** Fingerprints of the keys, by the names of the keys. */
  readonly fingerprints: Readonly<Record<string, string>>;
}

/** Whether a rule is about a type. A rule for every type does not include Binary. */
export function isAbout({ types }: Pick<GrantRule, 'types'>, type: string): boolean {
  return types === '*' ? type !== 'Binary' : types.includes(type);
}

/** Returns the redactions of all rules that allow a type; undefined if no rule allows it. */
export function redactionsOf(
  { rules }: Pick<Grant, 'rules'>,
  type: string,
): readonly Redaction[] | undefined {
  const allowing = rules.filter((rule) => rule.effect === 'allow' && isAbout(rule, type));
  return allowing.length === 0 ? undefined : allowing.flatMap(({ redact }) => redact);
}

/** Returns the groups whose members the rules are about. */
export function groupsOf({ rules }: Grant): string[] {
  return [...new Set(rules.flatMap(({ where }) => (where.kind === 'groups' ? where.ids : [])))];
}
