import { HeadwaterError } from '../base/errors.ts';
import { quoted } from '../base/bad-request.ts';
import { groupsOf, isAbout } from '../events/grant.ts';
import type { Grant, GrantCondition, GrantRule } from '../events/grant.ts';
import type { ExportLevel, ExportParameters } from '../events/request.ts';
import { canonicalJson } from '../events/request-seal.ts';
import { rootElementOf } from '../fhir/elements.ts';
import { elementsOf } from '../fhir/search/search-parameters.ts';
import { RESOURCE_TYPES } from '../fhir/resource-types.ts';
import type { Identity } from './identity.ts';
import type { AccessPolicy, Condition, Role, Rule } from './policy.ts';
import { parseScope, permittedTypes } from './scopes.ts';
import type { ScopeContext } from './scopes.ts';

/** An export that its client may have. */
export interface Granted {
  readonly grant: Grant;
  /** The request, narrowed to what is permitted. */
  readonly parameters: ExportParameters;
  /** Unfinished exports that the client may have; undefined = as the settings say. */
  readonly maxUnfinished: number | undefined;
}

/** A grant is part of each task. */
const MAX_GRANT = 64 << 10;

/**
 * Resolves what a client may export. Every step can only narrow. Default is deny.
 *
 * | step | rule                                                                                                  | else                |
 * |------|-------------------------------------------------------------------------------------------------------|---------------------|
 * | 1    | the client has a role of the access file                                                              | forbidden           |
 * | 2    | its scopes are for the client itself, or for the one patient of its token                             | insufficient-scope  |
 * | 3    | a role permits the level; of a token for one patient only `patient`                                   | forbidden           |
 * | 4    | a role permits the group, whether there is such a group or not                                        | forbidden           |
 * | 5    | a token for one patient exports that patient                                                          | forbidden           |
 * | 6    | scopes cover the level's own types (Patient, Group), and each type asked for                          | insufficient-scope  |
 * | 7    | a rule allows some of each type asked for                                                             | forbidden           |
 * | 8    | no search of `_typeFilter` looks at an element that is redacted                                       | forbidden           |
 *
 * With lenient handling a type of steps 6 and 7 becomes a warning, as long as one is left. Without `_type`, what is permitted is exported.
 */
export function resolveGrant(
  policy: AccessPolicy,
  identity: Identity,
  asked: ExportParameters,
  { lenient }: { readonly lenient: boolean },
): Granted {
  const roles = rolesOf(policy, identity); // 1
  const context = contextOf(identity); // 2
  const levels =
    context === 'patient' ? ['patient'] : [...new Set(roles.flatMap(({ role }) => role.export.levels))];
  if (!levels.includes(asked.level))
    throw forbidden(
      'level',
      `your role does not permit exports of the ${asked.level} level, but of ${levels.join(', ')}`,
    ); // 3
  if (asked.group !== undefined && !permitsGroup(roles, identity, asked.group))
    throw forbidden('group', `your role does not permit Group/${asked.group}`); // 4
  const patients = context === 'patient' ? ownPatient(identity, asked) : asked.patients; // 5
  const rules = rulesOf(roles, identity);
  refuseFilters(asked.typeFilters, rules); // 8
  const { types, warnings } = typesOf({ roles, rules, identity, context }, asked, lenient);
  const grant: Grant = {
    policy: policy.hash,
    issuer: identity.issuer,
    client: identity.client,
    patient: identity.patient,
    roles: roles.map(({ name }) => name),
    types: [...types].sort(),
    rules,
  };
  if (Buffer.byteLength(canonicalJson(grant)) > MAX_GRANT)
    throw forbidden(
      'rules',
      `your rights are larger than an export can carry: they name ${groupsOf(grant).length} groups`,
    );
  const limits = roles.flatMap(({ role }) => role.export.maxUnfinished ?? []);
  return {
    grant,
    parameters: {
      ...asked,
      patients,
      types: asked.types.filter((type) => types.has(type)),
      warnings: [...asked.warnings, ...warnings],
    },
    maxUnfinished: limits.length > 0 ? Math.max(...limits) : undefined,
  };
}

/** The Groups that a client may read. */
export interface PermittedGroups {
  readonly may: (id: string) => boolean;
  /** Whether a rule lets it have Groups as they are, members and all. */
  readonly whole: boolean;
}

/** Returns the Groups that a client may export, and so read. Throws `forbidden` and `insufficient-scope`. */
export function permittedGroups(policy: AccessPolicy, identity: Identity): PermittedGroups {
  const roles = rolesOf(policy, identity).filter(({ role }) => role.export.levels.includes('group'));
  const scopes = permittedTypes(identity.scopes, contextOf(identity));
  if (scopes !== '*' && !scopes.has('Group'))
    throw new HeadwaterError('insufficient-scope', 'your token does not let you read Group', {
      subject: 'system/Group.rs',
    });
  const rules = rulesOf(roles, identity).filter((rule) => isAbout(rule, 'Group'));
  const [first] = rules;
  const whole = first?.effect === 'allow' && first.where.kind === 'everything' && first.redact.length === 0;
  return { may: (id) => permitsGroup(roles, identity, id), whole };
}

interface NamedRole {
  readonly name: string;
  readonly role: Role;
}

function rolesOf(policy: AccessPolicy, identity: Identity): NamedRole[] {
  const roles = identity.roles.flatMap((name) => {
    const role = policy.roles.get(name);
    return role ? [{ name, role }] : [];
  });
  if (roles.length === 0) throw forbidden('role', 'your client has no role here');
  return roles;
}

function contextOf({ scopes, patient }: Identity): ScopeContext {
  const contexts = new Set(scopes.flatMap((text) => parseScope(text)?.context ?? []));
  if (contexts.has('system')) return 'system';
  if (contexts.has('patient') && patient !== undefined) return 'patient';
  throw new HeadwaterError(
    'insufficient-scope',
    `an export needs a scope such as system/*.rs; your token has ${scopes.join(' ') || 'none'}`,
    { subject: 'system/*.rs' },
  );
}

function permitsGroup(roles: readonly NamedRole[], identity: Identity, group: string): boolean {
  return roles.some(
    ({
      role: {
        export: { groups },
      },
    }) => groups === '*' || valuesOf(groups, identity).includes(group),
  );
}

function valuesOf(
  given: readonly string[] | { readonly claim: string },
  identity: Identity,
): readonly string[] {
  return 'claim' in given ? (identity.attributes[given.claim] ?? []) : given;
}

function ownPatient({ patient = '' }: Identity, { patients }: ExportParameters): string[] {
  const other = patients.find((id) => id !== patient);
  if (other !== undefined) throw forbidden('patient', `your token does not permit Patient/${other}`);
  return [patient];
}

/** The rules of all roles, deny first, with claims filled in. A rule about no patient is left out. */
function rulesOf(roles: readonly NamedRole[], identity: Identity): GrantRule[] {
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

const OWN_TYPES: Readonly<Record<ExportLevel, readonly string[]>> = {
  system: [],
  patient: ['Patient'],
  group: ['Patient', 'Group'],
};

function typesOf(
  client: {
    readonly roles: readonly NamedRole[];
    readonly rules: readonly GrantRule[];
    readonly identity: Identity;
    readonly context: ScopeContext;
  },
  asked: ExportParameters,
  lenient: boolean,
): { readonly types: ReadonlySet<string>; readonly warnings: readonly string[] } {
  const { roles, rules, identity, context } = client;
  const scoped = permittedTypes(identity.scopes, context);
  const inScopes = (type: string): boolean => scoped === '*' || scoped.has(type);
  const allowing = rules.filter(({ effect }) => effect === 'allow');
  const inRules = (type: string): boolean => allowing.some((rule) => isAbout(rule, type));
  const beyond = (type: string): HeadwaterError | undefined => {
    if (!inScopes(type)) return insufficient(type, identity, context);
    if (!inRules(type)) return forbidden('_type', `_type: your role does not permit ${quoted(type)}`);
    return undefined;
  };
  const missing = OWN_TYPES[asked.level].find((type) => !inScopes(type));
  if (missing !== undefined) throw insufficient(missing, identity, context);
  const refused = asked.types.flatMap((type) => beyond(type) ?? []);
  const [first] = refused;
  if (first && (!lenient || refused.length === asked.types.length)) throw first;
  const types = new Set(RESOURCE_TYPES.filter((type) => inScopes(type) && inRules(type)));
  if (types.size === 0) throw forbidden('_type', 'your role permits no type that your scopes cover');
  const silent = roles.every(({ role }) => role.export.withheld === 'silent');
  return { types, warnings: silent ? [] : refused.map(({ message }) => `${message}; it is left out`) };
}

/** Filters see redacted resources, so they would tell nothing; the client learns at once that they are in vain. */
function refuseFilters(queries: readonly string[], rules: readonly GrantRule[]): void {
  for (const query of queries) {
    const [type = '', search = ''] = query.split('?');
    const redactions = rules.filter((rule) => isAbout(rule, type)).flatMap(({ redact }) => redact);
    for (const part of search.split('&')) {
      const [code = ''] = decodeURIComponent(part.split('=')[0] ?? '').split(':');
      const elements = elementsOf(type, code);
      const hidden = redactions.find(({ path }) => {
        const name = path.replace('[x]', '');
        const keys = rootElementOf(type, name)?.keys ?? [];
        return elements.some((element) => element === name || keys.includes(element));
      });
      if (hidden)
        throw forbidden(
          '_typeFilter',
          `_typeFilter: ${type}?${code} looks at ${hidden.path}, which your role may not see`,
        );
    }
  }
}

function insufficient(type: string, { scopes }: Identity, context: ScopeContext): HeadwaterError {
  const needed = `${context}/${type}.rs`;
  return new HeadwaterError(
    'insufficient-scope',
    `${type} needs the scope ${needed}; your token has ${scopes.join(' ')}`,
    {
      subject: needed,
    },
  );
}

function forbidden(subject: string, message: string): HeadwaterError {
  return new HeadwaterError('forbidden', message, { subject });
}
