import { itemsOf, membersOf } from '../../../fhir/json-scan.ts';
import { columnMeta } from '../columns/render.ts';
import { asciiJson, inAscii, withMeta } from '../meta.ts';
import type { SourceRow } from '../source-row.ts';
import { instantOf } from '../time.ts';
import { toFhir } from './convert.ts';
import type { Dialect } from './convert.ts';

/**
 * Returns the resource as the FHIR API of Aidbox gives it: id, type, version and times come from columns. `createdAtUrl` is of the extension of
 * meta that tells when a resource was made, which has no place in FHIR.
 */
export function renderAidbox(row: SourceRow, body: Buffer, dialect: Dialect, createdAtUrl: string): Buffer {
  const { type, id, version, updated, extra } = row;
  const fhir = toFhir(body, type, dialect);
  const created = extra?.['cts'] ? instantOf(extra['cts']) : undefined;
  const root = [
    ['resourceType', asciiJson(type)],
    ['id', asciiJson(id)],
  ] as const;
  const members = [...columnMeta(version, updated ?? null)];
  if (created !== undefined) {
    const item = `{"url":${asciiJson(createdAtUrl)},"valueInstant":"${created}"}`;
    members.push(['extension', `[${[...metaExtensions(fhir), item].join(',')}]`]);
  }
  return withMeta(fhir, members, { root });
}

/** The extensions that meta has, as JSON in ASCII. */
function metaExtensions(fhir: Buffer): string[] {
  const whole = { start: 0, end: fhir.length };
  const meta = membersOf(fhir, whole).findLast(({ name }) => name === 'meta');
  const list = meta && membersOf(fhir, meta.value).findLast(({ name }) => name === 'extension');
  if (!list) return [];
  return itemsOf(fhir, list.value).map(({ start, end }) => inAscii(fhir.toString('utf8', start, end)));
}
