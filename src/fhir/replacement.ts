import { createHmac } from 'node:crypto';
import { HeadwaterError } from '../base/errors.ts';
import type { RedactionKey } from './redaction.ts';

/** An element whose value is withheld (http://hl7.org/fhir/StructureDefinition/data-absent-reason). */
export const MASKED = JSON.stringify({
  extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/data-absent-reason', valueCode: 'masked' }],
});

const REFERENCE = /^((?:.*\/)?[A-Z][A-Za-z]*\/|urn:(?:uuid|oid):)([^/?#]+)((?:\/_history\/.*)?)$/;
const FAMILIES =
  'Adler Brook Castle Dale Ember Field Grove Harbor Ivory Juniper Keel Linden Marsh North Orchard Pine'.split(
    ' ',
  );
const GIVEN =
  'Alex Blake Casey Drew Elis Finley Gray Harper Indigo Jules Kim Lee Morgan Noel Quinn Robin'.split(' ');

/** Returns the HMAC-SHA256 of a text, in lower hex. */
export function hashed(text: string, key: RedactionKey): string {
  return createHmac('sha256', secretOf(key)).update(text).digest('hex');
}

/** Returns a reference with the HMAC of its id; its type and version stay. A fragment stays; a text of another form becomes its HMAC. */
export function hashedReference(text: string, key: RedactionKey): string {
  if (text.startsWith('#')) return text;
  const [, before, id, after] = REFERENCE.exec(text) ?? [];
  return id === undefined ? hashed(text, key) : `${before ?? ''}${hashed(id, key)}${after ?? ''}`;
}

/**
 * Returns an invented HumanName or ContactPoint as JSON in ASCII. It depends on the key and the place only.
 * @param place tells apart all elements that are replaced, such as `Patient/1#2`
 */
export function invented(type: string, old: unknown, place: string, key: RedactionKey): string {
  const digest = createHmac('sha256', secretOf(key)).update(place).digest();
  if (type === 'HumanName') {
    const pick = (list: readonly string[], i: number): string => list[(digest[i] ?? 0) % list.length] ?? '';
    return JSON.stringify({ family: pick(FAMILIES, 0), given: [pick(GIVEN, 1)] });
  }
  const system = (old as { readonly system?: unknown } | null)?.system;
  const number = String(digest.readUInt32BE(4) % 10_000).padStart(4, '0');
  const name = digest.toString('hex', 8, 16);
  if (system === 'email') return JSON.stringify({ system, value: `${name}@example.org` });
  if (system === 'url') return JSON.stringify({ system, value: `https://example.org/${name}` });
  if (system === 'phone' || system === 'fax' || system === 'sms' || system === 'pager')
    return JSON.stringify({ system, value: `555-01${number}` });
  return JSON.stringify({ system: 'other', value: name });
}

function secretOf({ name, secret }: RedactionKey): Uint8Array {
  if (secret === undefined) throw new HeadwaterError('bad-config', `the key "${name}" was not read`);
  return secret;
}
