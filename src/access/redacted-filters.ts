import { isAbout } from '../events/grant.ts';
import type { GrantRule } from '../events/grant.ts';
import { rootElementOf } from '../fhir/elements.ts';
import type { Redaction } from '../fhir/redaction.ts';
import { elementsOf } from '../fhir/search/search-parameters.ts';
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
      const elements = elementsOf(type, code);
      const redaction = redactions.find((one) => isAmong(elements, type, one));
      if (redaction)
        throw forbidden(
          '_typeFilter',
          `_typeFilter: ${type}?${code} looks at ${redaction.path}, which your role may not see`,
        );
    }
  }
}

function isAmong(elements: readonly string[], type: string, { path }: Redaction): boolean {
  const name = path.replace('[x]', '');
  const keys = rootElementOf(type, name)?.keys ?? [];
  return elements.some((element) => element === name || keys.includes(element));
}
