import { bad, quoted } from '../base/bad-request.ts';

/**
 * Returns the preferences of a `Prefer` header (RFC 7240), which are separated by commas; their names have any letter case. If a
 * preference is given several times, the first counts.
 */
export function preferencesOf(header: string): ReadonlySet<string> {
  const first = new Map<string, string>();
  for (const item of header.split(/[,;]/).map((text) => text.replaceAll(/[\s"]/g, '').toLowerCase())) {
    const name = item.split('=')[0] ?? '';
    if (name !== '' && !first.has(name)) first.set(name, item);
  }
  return new Set(first.values());
}

const FHIR_JSON = 'application/fhir+json';
/** If a client accepts nothing but these types, it would not understand the answer. */
const REFUSED: ReadonlySet<string> = new Set([
  'application/json',
  'text/html',
  'application/fhir+xml',
  'application/xml',
  'text/xml',
]);

/**
 * Throws `bad-request` when a client accepts only what a kick-off never answers with. Liberal otherwise, since clients
 * send much that is beside the point; when strict, only what includes `application/fhir+json` by name will do.
 */
export function checkAccept(header: string, strict: boolean): void {
  const types = header
    .split(',')
    .map((item) => (item.split(';')[0] ?? '').trim().toLowerCase())
    .filter((type) => type !== '');
  if (types.includes(FHIR_JSON)) return;
  if (strict || (types.length > 0 && types.every((type) => REFUSED.has(type)))) {
    throw bad('Accept', `Accept: ${quoted(header)} does not include ${FHIR_JSON}`);
  }
}

/** Throws `bad-request` unless the client has asked for an asynchronous answer. */
export function checkPrefer(preferences: ReadonlySet<string>): void {
  if (preferences.has('respond-async')) return;
  throw bad('Prefer', 'Prefer: respond-async is missing; an export is answered later');
}
