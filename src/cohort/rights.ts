import { groupMembers } from './cohort.ts';
import type { Members } from './cohort.ts';
import type { ResourceLog } from './versions.ts';
import { groupsOf, isAbout, redactionsOf } from '../events/grant.ts';
import type { Grant, GrantRule } from '../events/grant.ts';
import { MANY_PATIENTS } from '../events/resource-change.ts';
import type { Redaction } from '../fhir/redaction.ts';
import type { TaskRights } from '../events/tasks.ts';
import type { Stamp } from '../base/positions.ts';

/** Whether a resource belongs to a set, by its id and by the patients whose compartments it is in. */
export type Belongs = (id: string, patients: readonly string[]) => boolean;

/** The rights of an export's client to the resources of a type. */
export interface TypeRights {
  /** The resources that the client may have as of the cut. */
  readonly now: Belongs;
  /** The resources that the client might have as of `since`. */
  readonly before: Belongs;
  /** The resources of `before` whose redactions are still the same. The client need not get such a resource again. */
  readonly kept: Belongs;
  /** A superset of `before`: it takes a resource with one permitted patient, even if further patients would exclude it. */
  readonly touched: Belongs;
  /** Whether `touched` equals `before`, because no rule depends on all patients of a resource, nor on its content. */
  readonly exact: boolean;
  /** Whether searches of rules or scopes limit the type. */
  readonly limited: boolean;
  /** undefined if no rule of the grant has redactions. */
  readonly redactions: Redactions | undefined;
}

/** The redactions of the resources of a type. */
export interface Redactions {
  /** The redactions of each rule that lets resources through. */
  readonly byRule: readonly (readonly Redaction[])[];
  /** Returns the index of the rule that lets a resource through, -1 if no rule does. */
  readonly ruleOf: (id: string, patients: readonly string[]) => number;
  /** Returns the redactions of all rules that allow a type; undefined if no rule allows it. */
  readonly of: (type: string) => readonly Redaction[] | undefined;
}

/** Returns the rights of an export's client to a type; undefined = all resources of the type, without redactions. */
export type Rights = (type: string) => TypeRights | undefined;

export const ALL_RIGHTS: Rights = () => undefined;

interface ResolvedRule {
  readonly rule: GrantRule;
  /** The patients that the rule names; undefined if it names none. */
  readonly sets: Members | undefined;
}

/** Returns the groups of a grant whose members have changed since `since`. */
export async function movedGroups(
  rights: TaskRights,
  since: Stamp,
  log: ResourceLog,
  signal: AbortSignal,
): Promise<string[]> {
  const moved: string[] = [];
  for (const group of groupsOf(rights.grant)) {
    const { now, before } = await groupMembers(group, rights, { since, log, signal });
    if (now !== before) moved.push(group);
  }
  return moved;
}

/** A rule, and whether it holds for a resource. */
export interface Judged {
  readonly rule: GrantRule;
  /** undefined if the rule is about other types. */
  readonly holds: boolean | undefined;
}

/** Returns the verdict of each rule of a grant on a resource, in the order of evaluation. */
export async function judge(
  resource: { readonly type: string; readonly patients: readonly string[] },
  rights: TaskRights,
  log: ResourceLog,
  signal: AbortSignal,
): Promise<Judged[]> {
  return judgeBy(await resolve(rights, undefined, log, signal), resource);
}

/** As `judge`, with the members of groups as they are given. */
export function judgeGiven(
  resource: { readonly type: string; readonly patients: readonly string[] },
  { rules }: Pick<Grant, 'rules'>,
  groups: ReadonlyMap<string, readonly string[]>,
): Judged[] {
  const members = new Map(
    [...groups].map(([id, ids]) => [id, { now: new Set(ids), before: new Set(ids) }] as const),
  );
  return judgeBy(
    rules.map((rule) => ({ rule, sets: setsOf(rule, members) })),
    resource,
  );
}

function judgeBy(
  rules: readonly ResolvedRule[],
  { type, patients }: { readonly type: string; readonly patients: readonly string[] },
): Judged[] {
  return rules.map((one) => ({
    rule: one.rule,
    holds: isAbout(one.rule, type) ? holds(one, 'now')('', patients) : undefined,
  }));
}

/** Resolves a grant, with its groups as of the cut and as of `since`. The result depends on an immutable part of the log only. */
export async function resolveRights(
  rights: TaskRights | undefined,
  since: Stamp | undefined,
  log: ResourceLog,
  signal: AbortSignal,
): Promise<Rights> {
  if (rights === undefined) return ALL_RIGHTS;
  const resolved = await resolve(rights, since, log, signal);
  const permitted = new Set(rights.grant.types);
  const known = new Map<string, TypeRights | undefined>();
  return (type) => {
    if (!known.has(type)) {
      const limited = rights.grant.queries?.some((query) => query.startsWith(`${type}?`)) === true;
      known.set(type, permitted.has(type) ? typeRights(resolved, type, limited) : NOTHING);
    }
    return known.get(type);
  };
}

async function resolve(
  rights: TaskRights,
  since: Stamp | undefined,
  log: ResourceLog,
  signal: AbortSignal,
): Promise<ResolvedRule[]> {
  const members = new Map<string, Members>();
  for (const group of groupsOf(rights.grant))
    members.set(group, await groupMembers(group, rights, { since, log, signal }));
  return rights.grant.rules.map((rule) => ({ rule, sets: setsOf(rule, members) }));
}

function setsOf({ where }: GrantRule, members: ReadonlyMap<string, Members>): Members | undefined {
  if (where.kind === 'patients') return { now: new Set(where.ids), before: new Set(where.ids) };
  if (where.kind !== 'groups') return undefined;
  const all = (when: keyof Members): ReadonlySet<string> =>
    new Set(where.ids.flatMap((id) => [...(members.get(id)?.[when] ?? [])]));
  return { now: all('now'), before: all('before') };
}

const NOTHING: TypeRights = {
  ...{ now: () => false, before: () => false, kept: () => false, touched: () => false, exact: true },
  limited: false,
  redactions: undefined,
};

/** @param limited whether searches of rules or scopes limit the type */
function typeRights(
  resolved: readonly ResolvedRule[],
  type: string,
  limited: boolean,
): TypeRights | undefined {
  const rules = resolved.filter(({ rule }) => isAbout(rule, type));
  const denying = rules.filter(({ rule }) => rule.effect === 'deny');
  const allowing = rules.filter(({ rule }) => rule.effect === 'allow');
  const never = allowing.length === 0 || denying.some(({ rule }) => rule.where.kind === 'everything');
  if (never) return NOTHING;
  const redacts = resolved.some(({ rule }) => rule.redact.length > 0);
  const everything = denying.length === 0 && allowing[0]?.rule.where.kind === 'everything';
  if (everything && !redacts && !limited) return undefined;
  const at = (when: keyof Members): Belongs => {
    const denied = denying.map((one) => holds(one, when));
    const allowed = allowing.map((one) => holds(one, when));
    return (id, patients) =>
      !denied.some((holding) => holding(id, patients)) && allowed.some((holding) => holding(id, patients));
  };
  const before = at('before');
  const redactions = redacts ? formsOf(resolved, allowing) : undefined;
  const named = allowing.map(({ rule, sets }) => holds({ rule: { ...rule, shared: 'any' }, sets }, 'before'));
  return {
    now: at('now'),
    before,
    kept: redactions ? (id, patients) => before(id, patients) && redactions.same(id, patients) : before,
    touched: (id, patients) => named.some((holding) => holding(id, patients)),
    exact: !limited && denying.length === 0 && allowing.every(({ rule }) => rule.shared === 'any'),
    limited,
    redactions,
  };
}

function formsOf(
  resolved: readonly ResolvedRule[],
  allowing: readonly ResolvedRule[],
): Redactions & { readonly same: Belongs } {
  const ruleAt = (when: keyof Members): Redactions['ruleOf'] => {
    const allowed = allowing.map((one) => holds(one, when));
    return (id, patients) => allowed.findIndex((holding) => holding(id, patients));
  };
  const [now, before] = [ruleAt('now'), ruleAt('before')];
  const forms = allowing.map(({ rule }) => JSON.stringify(rule.redact));
  return {
    byRule: allowing.map(({ rule }) => rule.redact),
    ruleOf: now,
    same: (id, patients) => forms[now(id, patients)] === forms[before(id, patients)],
    of: (type) => redactionsOf({ rules: resolved.map(({ rule }) => rule) }, type),
  };
}

function holds({ rule, sets }: ResolvedRule, when: keyof Members): Belongs {
  if (rule.where.kind === 'everything') return () => true;
  const ids = sets?.[when];
  if (ids === undefined) return (_, patients) => patients.length > 0;
  if (rule.shared === 'exclude')
    return (_, patients) => patients.length > 0 && patients.every((id) => ids.has(id));
  // A record of very many patients names none of them. A possible match must deny, and must not allow.
  const many = rule.effect === 'deny';
  return (_, patients) => patients.some((id) => ids.has(id) || (many && id === MANY_PATIENTS));
}
