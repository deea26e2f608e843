import { asciiJson, inAscii, withMeta } from '../meta.ts';
import type { MetaMembers } from '../meta.ts';
import type { SourceRow } from '../source-row.ts';
import type { TagDefinition } from './rows.ts';

/** The members of meta that HAPI keeps in columns and tables; a stored meta has none of them, or an older one. */
const OWN = ['versionId', 'lastUpdated', 'source'];
const TAG_LISTS = ['profile', 'security', 'tag'];

/** `extra` of a row: what rendering needs beside the body. */
export interface HapiExtra extends Readonly<Record<string, string | null>> {
  /** A FHIR instant. */
  readonly instant: string | null;
  /** meta.source. */
  readonly source: string | null;
  /** The members profile, security and tag of meta, as JSON without braces; null if the body has them. */
  readonly labels: string | null;
}

/** Returns a body with the id and meta that HAPI's API gives: `ca.uhn.hapi.fhir.jpa.dao.JpaStorageResourceParser` of 8.8.0. */
export function renderHapi({ id, version, extra }: SourceRow, body: Buffer): Buffer {
  const { instant, source, labels } = (extra ?? {}) as HapiExtra;
  const lists = labels === null ? {} : (JSON.parse(`{${labels}}`) as Record<string, unknown>);
  const members: [string, string][] = [];
  if (version !== null) members.push(['versionId', asciiJson(version)]);
  if (instant !== null) members.push(['lastUpdated', asciiJson(instant)]);
  if (source !== null) members.push(['source', asciiJson(source)]);
  for (const name of TAG_LISTS) if (name in lists) members.push([name, inAscii(JSON.stringify(lists[name]))]);
  const dropped = labels === null ? OWN : [...OWN, ...TAG_LISTS];
  return withMeta(body, members, { dropped, root: [['id', asciiJson(id)]] satisfies MetaMembers });
}

/** meta.source as HAPI makes it: `uri#request`, either part alone if the other is empty; null if both are. */
export function sourceOf(uri: string | null, request: string | null): string | null {
  const text = `${uri ?? ''}${request ? `#${request}` : ''}`;
  return text === '' ? null : text;
}

/** The labels of a version as members of meta, each list in HAPI's order (`MetaTagSorterAlphabetical`). */
export function labelsOf(tags: readonly TagDefinition[]): string {
  const of = (type: string): TagDefinition[] => tags.filter((tag) => tag.type === type).sort(byCode);
  const [tag, profile, security] = [of('0'), of('1'), of('2')];
  const lists: [string, unknown[]][] = [
    ['profile', profile.map(({ code }) => code)],
    ['security', security.map((one) => coding(one, false))],
    ['tag', tag.map((one) => coding(one, true))],
  ];
  return lists
    .filter(([, items]) => items.length > 0)
    .map(([name, items]) => `"${name}":${JSON.stringify(items)}`)
    .join(',');
}

function coding({ system, code, display, version, userSelected }: TagDefinition, isTag: boolean): object {
  return {
    ...(system && { system }),
    ...(isTag && version && { version }),
    ...(code && { code }),
    ...(display && { display }),
    ...(isTag && userSelected !== null && { userSelected }),
  };
}

function byCode(a: TagDefinition, b: TagDefinition): number {
  return compare(a.system, b.system) || compare(a.code, b.code);
}

/** Null comes first. */
function compare(a: string | null, b: string | null): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  return a < b ? -1 : 1;
}
