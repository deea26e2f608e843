import { quoted } from '../base/bad-request.ts';
import type { HeadwaterError } from '../base/errors.ts';
import { groupsOf, isAbout } from '../events/grant.ts';
import type { Grant, GrantRule } from '../events/grant.ts';
import type { ExportLevel, ExportParameters, JobLimitsOfRole } from '../events/request.ts';
import { canonicalJson } from '../events/request-seal.ts';
import { RESOURCE_TYPES } from '../fhir/resource-types.ts';
import { deidentificationFor } from './deidentification.ts';
import type { Identity } from './identity.ts';
import type { AccessPolicy } from './policy.ts';
import { refuseRedactedFilters } from './redacted-filters.ts';
import { forbidden, insufficientScope } from './refusals.ts';
import { permitsGroup, rolesOf, rulesOf } from './role-rules.ts';
import type { NamedRole } from './role-rules.ts';
import { limitedFilters } from './criteria.ts';
import { contextOf, permittedTypes, scopeQueries } from './scopes.ts';
import type { ScopeContext } from './scopes.ts';

/** The rights of a client for one request, and the request that they permit. */
export interface Granted {
  readonly grant: Grant;
  /** The request, narrowed to what is permitted. */
  readonly parameters: ExportParameters;
  readonly limits: JobLimitsOfRole;
}

const HOUR = 3_600_000;
/** In bytes. A grant is part of each task, so its size has a limit. */
const MAX_GRANT = 64 << 10;

/**
 * Resolves the rights of a client for a request. Each step can only narrow them. The default is to deny.
 *
 * | step | rule                                                                                                  | else                |
 * |------|-------------------------------------------------------------------------------------------------------|---------------------|
 * | 1    | the client has a role of the access file                                                              | forbidden           |
 * | 2    | its scopes are for the client itself, or for the one patient of its token                             | insufficient-scope  |
 * | 3    | a role permits the level; a token for one patient permits the level `patient` only                    | forbidden           |
 * | 4    | a role permits the group; the check does not look whether the group exists                            | forbidden           |
 * | 5    | a token for one patient exports that patient                                                          | forbidden           |
 * | 6    | scopes cover the level's own types (Patient, Group), and each type asked for                          | insufficient-scope  |
 * | 7    | a rule allows some of each type asked for                                                             | forbidden           |
 * | 8    | no search of `_typeFilter` looks at an element that is redacted                                       | forbidden           |
 * | 9    | a role permits the configuration that de-identifies; see `deidentificationFor`                        | forbidden           |
 *
 * With lenient handling, steps 6 and 7 turn a type into a warning, as long as another type stays. Without `_type`, the export holds every
 * permitted type.
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
  const all = rulesOf(roles, identity);
  // A criterion of a deny rule is a search of the export, so the rule itself denies no whole type.
  const rules = all.filter(({ effect, criteria }) => effect === 'allow' || !criteria);
  refuseRedactedFilters(asked.typeFilters, rules); // 8
  const { types, warnings } = typesOf({ roles, rules, identity, context }, asked, lenient);
  const limit = (asks: readonly string[]): string[] =>
    [...types].flatMap((type) =>
      limitedFilters(type, { asked: asks, scopes: scopeQueries(identity.scopes, context, type), rules: all }),
    );
  const queries = limit([]);
  refuseRedactedFilters(queries, rules); // 8
  const deidentify = deidentificationFor(policy, roles, asked); // 9
  const grant: Grant = {
    policy: policy.hash,
    issuer: identity.issuer,
    client: identity.client,
    patient: identity.patient,
    roles: roles.map(({ name }) => name),
    types: [...types].sort(),
    rules,
    ...(queries.length > 0 && { queries }),
    ...(deidentify && { deidentify }),
  };
  if (Buffer.byteLength(canonicalJson(grant)) > MAX_GRANT)
    throw forbidden(
      'rules',
      `your rights are larger than an export can carry: they name ${groupsOf(grant).length} groups`,
    );
  const greatest = (values: readonly (number | undefined)[]): number | undefined =>
    values.some((value) => value !== undefined) ? Math.max(...values.map((value) => value ?? 0)) : undefined;
  const exports = roles.map(({ role }) => role.export);
  const retentionHours = greatest(exports.map((one) => one.retentionHours));
  return {
    grant,
    parameters: {
      ...asked,
      deidentify: deidentify?.name,
      ...(asked.deidentifyEtag !== undefined && { deidentifyEtag: undefined }),
      patients,
      typeFilters: queries.length === 0 ? asked.typeFilters : limit(asked.typeFilters),
      types: asked.types.filter((type) => types.has(type)),
      warnings: [...asked.warnings, ...warnings],
    },
    limits: {
      maxUnfinished: greatest(exports.map((one) => one.maxUnfinished)),
      perDay: greatest(exports.map((one) => one.perDay)),
      retentionMs: retentionHours === undefined ? undefined : retentionHours * HOUR,
    },
  };
}

function ownPatient({ patient = '' }: Identity, { patients }: ExportParameters): string[] {
  const other = patients.find((id) => id !== patient);
  if (other !== undefined) throw forbidden('patient', `your token does not permit Patient/${other}`);
  return [patient];
}

/** The types that every export of a level needs. */
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
    if (!inScopes(type)) return insufficient(type, identity, context); // 6
    if (!inRules(type)) return forbidden('_type', `_type: your role does not permit ${quoted(type)}`); // 7
    return undefined;
  };
  const missing = OWN_TYPES[asked.level].find((type) => !inScopes(type));
  if (missing !== undefined) throw insufficient(missing, identity, context); // 6
  const refused = asked.types.flatMap((type) => beyond(type) ?? []);
  const [first] = refused;
  if (first && (!lenient || refused.length === asked.types.length)) throw first;
  const types = new Set(RESOURCE_TYPES.filter((type) => inScopes(type) && inRules(type)));
  if (types.size === 0) throw forbidden('_type', 'your role permits no type that your scopes cover');
  const silent = roles.every(({ role }) => role.export.withheld === 'silent');
  return { types, warnings: silent ? [] : refused.map(({ message }) => `${message}; it is left out`) };
}

function insufficient(type: string, { scopes }: Identity, context: ScopeContext): HeadwaterError {
  const needed = `${context}/${type}.rs`;
  return insufficientScope(needed, `${type} needs the scope ${needed}; your token has ${scopes.join(' ')}`);
}
