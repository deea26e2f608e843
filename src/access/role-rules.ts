import type { GrantCondition, GrantRule } from '../events/grant.ts';
import type { Identity } from './identity.ts';
import type { AccessPolicy, Condition, Role, Rule } from './policy.ts';
import { forbidden } from './refusals.ts';

export interface NamedRole {
  readonly name: string;
  readonly role: Role;
}

/** Returns the roles of a client. Throws `forbidden` if the access file has none of them. */
export function rolesOf(policy: AccessPolicy, identity: Identity): NamedRole[] {
  const roles = identity.roles.flatMap((name) => {
    const role = policy.roles.get(name);
    return role ? [{ name, role }] : [];
  });
  if (roles.length === 0) throw forbidden('role', 'your client has no role here');
  return roles;
}

/** Whether one of the roles permits exports of a Group. */
export function permitsGroup(roles: readonly NamedRole[], identity: Identity, id: string): boolean {
  return roles.some(({ role }) => {
    const { groups } = role.export;
    return groups === '*' || valuesOf(groups, identity).includes(id);
  });
}

/** Returns the rules of all roles with their claims filled in, deny rules first. It leaves out rules that apply to no patient. */
export function rulesOf(roles: readonly NamedRole[], identity: Identity): GrantRule[] {
  const all = roles.flatMap(({ name, role }) =>
    role.rules.map((rule) => ({ ...rule, id: `${name}/${rule.id}` })),
  );
  return [
    ...all.filter(({ effect }) => effect === 'deny'),
    ...all.filter(({ effect }) => effect === 'allow'),
  ].flatMap((rule: Rule): GrantRule[] => {
    const where = conditionOf(rule.where, identity);
    return where ? [{ ...rule, where }] : [];
  });
}

function conditionOf(where: Condition, identity: Identity): GrantCondition | undefined {
  if (where.kind === 'own')
    return identity.patient === undefined ? undefined : { kind: 'patients', ids: [identity.patient] };
  if (where.kind !== 'groups') return where;
  const ids = [...new Set(valuesOf(where.groups, identity))];
  return ids.length === 0 ? undefined : { kind: 'groups', ids };
}

function valuesOf(
  given: readonly string[] | { readonly claim: string },
  identity: Identity,
): readonly string[] {
  return 'claim' in given ? (identity.attributes[given.claim] ?? []) : given;
}
