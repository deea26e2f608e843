import { parseTypeFilter } from '../fhir/search/type-filter.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import type { Identity } from './identity.ts';
import { insufficientScope } from './refusals.ts';

/** The context of a SMART scope: `system` is the client itself. */
export type ScopeContext = 'system' | 'patient' | 'user';

/** A SMART scope that lets its holder read or search resources (https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html). */
export interface ReadScope {
  readonly context: ScopeContext;
  /** A resource type, or `*`. */
  readonly type: string;
  readonly read: boolean;
  readonly search: boolean;
  /** Whether the scope has the form of version 1, `.read`, which stands for both. */
  readonly v1: boolean;
  /** Parameters that limit the scope, as `category=laboratory`; empty = none. */
  readonly query: string;
}

const SCOPE = /^(system|patient|user)\/(\*|[A-Z][A-Za-z]{1,60})\.(read|write|\*|c?r?u?d?s?)(?:\?(\S+))?$/;

/** Returns undefined for a text that is not a scope of resources or that permits no reading. Neither are scopes whose search cannot be evaluated. */
export function parseScope(text: string): ReadScope | undefined {
  const [, context, type = '', letters = '', query = ''] = SCOPE.exec(text) ?? [];
  if (context === undefined || letters === '' || letters === 'write') return undefined;
  if (type !== '*' && !isResourceType(type)) return undefined;
  if (query !== '' && !canSearch(type, query)) return undefined;
  const v1 = letters === 'read' || letters === '*';
  const read = v1 || letters.includes('r');
  const search = v1 || letters.includes('s');
  return read || search ? { context: context as ScopeContext, type, read, search, v1, query } : undefined;
}

/** Whether the search of a scope can be evaluated. Of modifiers, SMART has `:not`, `:missing` and the like as experiments, so none is taken. */
function canSearch(type: string, query: string): boolean {
  if (/[:][^=&]*=/.test(query)) return false;
  try {
    parseTypeFilter(`${type === '*' ? 'Patient' : type}?${query}`);
    return type !== '*' || query.split('&').every((part) => part.startsWith('_'));
  } catch {
    return false;
  }
}

/** Returns the searches of the scopes that cover a type; none if one of them has no search, and so permits all of the type. */
export function scopeQueries(scopes: readonly string[], context: ScopeContext, type: string): string[] {
  const covering = scopes
    .flatMap((text) => parseScope(text) ?? [])
    .filter((one) => one.context === context && one.read && one.search && [type, '*'].includes(one.type));
  if (covering.some(({ query }) => query === '')) return [];
  return covering.map(({ query }) => `${type}?${query}`);
}

/** Returns a scope as text, such as `system/Patient.rs`. Other letters are left out, because Headwater only reads and searches. */
export function formatScope({ context, type, read, search, v1, query }: ReadScope): string {
  return `${context}/${type}.${v1 ? 'read' : (read ? 'r' : '') + (search ? 's' : '')}${query && `?${query}`}`;
}

/**
 * Returns the scopes that a client gets: the intersection of the scopes that it asks for and the scopes of its registration. A wildcard
 * becomes the registered types.
 */
export function grantedScopes(asked: readonly string[], registered: readonly string[]): string[] {
  const own = registered.flatMap((text) => parseScope(text) ?? []);
  const granted = asked.flatMap((text) => {
    const scope = parseScope(text);
    if (!scope) return [];
    return own.flatMap((one): ReadScope[] => {
      if (one.context !== scope.context) return [];
      if (one.type !== '*' && scope.type !== '*' && one.type !== scope.type) return [];
      const [read, search] = [one.read && scope.read, one.search && scope.search];
      if (!read && !search) return [];
      return [
        {
          ...scope,
          type: scope.type === '*' ? one.type : scope.type,
          read,
          search,
          query: [...new Set([scope.query, one.query])].filter(Boolean).join('&'),
        },
      ];
    });
  });
  return [...new Set(granted.map(formatScope))];
}

/** Returns the types that scopes of a context let the client export. An export needs the rights to read and to search. */
export function permittedTypes(scopes: readonly string[], context: ScopeContext): '*' | ReadonlySet<string> {
  const types = scopes
    .flatMap((text) => parseScope(text) ?? [])
    .filter((scope) => scope.context === context && scope.read && scope.search)
    .map(({ type }) => type);
  return types.includes('*') ? '*' : new Set(types);
}

/** Returns the context of a token's scopes. Throws `insufficient-scope` if none of them lets the client export. */
export function contextOf({ scopes, patient }: Pick<Identity, 'scopes' | 'patient'>): ScopeContext {
  const contexts = new Set(scopes.flatMap((text) => parseScope(text)?.context ?? []));
  if (contexts.has('system')) return 'system';
  if (contexts.has('patient') && patient !== undefined) return 'patient';
  const given = scopes.join(' ') || 'none';
  throw insufficientScope(
    'system/*.rs',
    `an export needs a scope such as system/*.rs; your token has ${given}`,
  );
}
