import { isAbout } from '../events/grant.ts';
import type { Identity } from './identity.ts';
import type { AccessPolicy } from './policy.ts';
import { insufficientScope } from './refusals.ts';
import { permitsGroup, rolesOf, rulesOf } from './role-rules.ts';
import { contextOf, permittedTypes, scopeQueries } from './scopes.ts';

/** The Groups that a client may read. */
export interface PermittedGroups {
  readonly may: (id: string) => boolean;
  /** Whether a rule lets the client read whole Groups, with their members. */
  readonly whole: boolean;
}

/** Returns the Groups that a client may export, and so read. Throws `forbidden` and `insufficient-scope`. */
export function permittedGroups(policy: AccessPolicy, identity: Identity): PermittedGroups {
  const own = rolesOf(policy, identity);
  const roles = own.filter(({ role }) => role.export.levels.includes('group'));
  const scopes = permittedTypes(identity.scopes, contextOf(identity));
  if (scopes !== '*' && !scopes.has('Group'))
    throw insufficientScope('system/Group.rs', 'your token does not let you read Group');
  const rules = rulesOf(roles, identity).filter((rule) => isAbout(rule, 'Group'));
  const [first] = rules;
  // Members are named by the ids that de-identification replaces.
  const hidden = own.some(({ role }) => role.export.requireDeidentify === true);
  const limited =
    rules.some(({ criteria }) => criteria) ||
    scopeQueries(identity.scopes, contextOf(identity), 'Group').length > 0;
  const plain = first?.effect === 'allow' && first.where.kind === 'everything' && first.redact.length === 0;
  return { may: (id) => permitsGroup(roles, identity, id), whole: plain && !hidden && !limited };
}
