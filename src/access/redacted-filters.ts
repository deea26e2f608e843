import { isAbout } from '../events/grant.ts';
import type { GrantRule } from '../events/grant.ts';
import { partOf } from '../fhir/parts.ts';
import type { Part } from '../fhir/parts.ts';
import { isDisplays, stepsOf } from '../fhir/redaction.ts';
import type { Redaction } from '../fhir/redaction.ts';
import { searchedPaths } from '../fhir/search/search-parameters.ts';
import { forbidden } from './refusals.ts';

/**
 * Throws `forbidden` if a search of `_typeFilter` looks at an element that a rule redacts. Filters see redacted resources, so such a search
 * would find nothing: the refusal reports that to the client at once.
 * @param queries `Type?parameter=value&…`
 */
export function refuseRedactedFilters(queries: readonly string[], rules: readonly GrantRule[]): void {
  for (const query of queries) {
    const [type = '', search = ''] = query.split('?');
    const redactions = rules.filter((rule) => isAbout(rule, type)).flatMap(({ redact }) => redact);
    for (const part of search.split('&')) {
      const [code = ''] = decodeURIComponent(part.split('=')[0] ?? '').split(':');
      const paths = searchedPaths(type, code).map((path) => path.split('.'));
      const redaction = redactions.find((one) => paths.some((path) => looksAt(path, type, one)));
      if (redaction)
        throw forbidden(
          '_typeFilter',
          `_typeFilter: ${type}?${code} looks at ${redaction.path}, which your role may not see`,
        );
    }
  }
}

/** Whether a searched element is a redacted one, a part of it, or has it as a part. */
function looksAt(searched: readonly string[], type: string, redaction: Redaction): boolean {
  const steps = isDisplays(redaction) ? undefined : stepsOf(redaction);
  if (!steps || steps.extension !== undefined) return false;
  if (searched[0] === '$deceased') return steps.names[0]?.startsWith('deceased') === true;
  let at = type;
  for (const [i, name] of steps.names.entries()) {
    const element = searched[i];
    if (element === undefined) return true;
    const keys: Part['keys'] = partOf(at, name)?.keys ?? [];
    const key = keys.find((one) => one.key === element);
    if (!key) return false;
    at = key.type;
  }
  const below = searched[steps.names.length];
  const kept = redaction.keep?.flatMap((name) => partOf(at, name)?.keys ?? []);
  return below === undefined || !kept?.some(({ key }) => key === below);
}
