import pg from 'pg';
import type { Lookup } from '../preset.ts';
import { resourceRow, resourceTag, tagDefinition, tagRow, versionRow } from './rows.ts';
import type { ResourceRow, ResourceTag, TagDefinition, TagRow, Texts, VersionRow } from './rows.ts';
import { RESOURCE, TAG_DEFINITION } from './tables.ts';

/** Keys of one query. */
const KEYS = 500;
/** Bodies that HAPI before 7.0 wrote are large objects. */
const LARGE_OBJECT =
  "CASE WHEN v.res_text IS NOT NULL THEN encode(lo_get(v.res_text), 'base64') END AS large_object";
const VERSION_COLUMNS = [
  'pid',
  'res_id',
  'res_ver',
  'res_text_vc',
  'res_encoding',
  'res_updated',
  'res_deleted_at',
  'source_uri',
  'request_id',
] as const;

export interface VersionKey {
  readonly resId: string;
  readonly version: string;
}

/**
 * Looks up rows for a fold: rows that a transaction did not change, found by unique keys. The answers may be later than the
 * transaction. Versions and the identity of a resource do not change, so this makes no difference but for rows that are gone.
 */
export class HapiLookups {
  readonly #schema: string;

  constructor(schema: string) {
    this.#schema = pg.escapeIdentifier(schema);
  }

  /** Returns versions by `res_id/res_ver`. */
  async versions(lookup: Lookup, keys: readonly VersionKey[]): Promise<Map<string, VersionRow>> {
    const columns = VERSION_COLUMNS.map((name) => `v.${name}`).join(', ');
    const sql = `SELECT ${columns}, ${LARGE_OBJECT} FROM unnest($1::bigint[], $2::bigint[]) AS k (res_id, res_ver)
      JOIN ${this.#schema}.hfj_res_ver v ON v.res_id = k.res_id AND v.res_ver = k.res_ver`;
    const names = [...VERSION_COLUMNS, 'large_object'];
    const rows = await inParts(keys, (some) => {
      const values = [some.map(({ resId }) => resId), some.map(({ version }) => version)];
      return asTexts(lookup, sql, values, names);
    });
    const found = rows.map((of) => versionRow(of, of['res_text_vc'] ? Buffer.from(of['res_text_vc']) : null));
    return new Map(found.map((row) => [versionKey(row), row]));
  }

  /** Returns resources by res_id, as they are now. */
  async resources(lookup: Lookup, resIds: readonly string[]): Promise<Map<string, ResourceRow>> {
    const names = Object.keys(RESOURCE);
    const sql = `SELECT ${names.join(', ')} FROM ${this.#schema}.hfj_resource WHERE res_id = ANY ($1::bigint[])`;
    const rows = await inParts(resIds, (some) => asTexts(lookup, sql, [some], names));
    return new Map(rows.map(resourceRow).map((row) => [row.resId, row]));
  }

  /** Returns the tags of resources, as they are now. */
  async resourceTags(lookup: Lookup, resIds: readonly string[]): Promise<ResourceTag[]> {
    const names = ['res_id', 'tag_id'];
    const sql = `SELECT ${names.join(', ')} FROM ${this.#schema}.hfj_res_tag WHERE res_id = ANY ($1::bigint[])`;
    return (await inParts(resIds, (some) => asTexts(lookup, sql, [some], names))).map(resourceTag);
  }

  async tags(lookup: Lookup, versionPids: readonly string[]): Promise<TagRow[]> {
    const names = ['res_ver_pid', 'tag_id', 'res_id'];
    const sql = `SELECT ${names.join(', ')} FROM ${this.#schema}.hfj_history_tag WHERE res_ver_pid = ANY ($1::bigint[])`;
    return (await inParts(versionPids, (some) => asTexts(lookup, sql, [some], names))).map(tagRow);
  }

  async definitions(lookup: Lookup, tagIds: readonly string[]): Promise<TagDefinition[]> {
    const names = Object.keys(TAG_DEFINITION);
    const sql = `SELECT ${names.join(', ')} FROM ${this.#schema}.hfj_tag_def WHERE tag_id = ANY ($1::bigint[])`;
    return (await inParts(tagIds, (some) => asTexts(lookup, sql, [some], names))).map(tagDefinition);
  }
}

export function versionKey({ resId, version }: VersionKey): string {
  return `${resId}/${version}`;
}

async function asTexts(
  lookup: Lookup,
  sql: string,
  values: readonly unknown[],
  names: readonly string[],
): Promise<Texts[]> {
  const rows = await lookup(sql, values);
  return rows.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i] ?? null])));
}

async function inParts<K, T>(
  keys: readonly K[],
  ask: (some: readonly K[]) => Promise<readonly T[]>,
): Promise<T[]> {
  const found: T[] = [];
  for (let at = 0; at < keys.length; at += KEYS) found.push(...(await ask(keys.slice(at, at + KEYS))));
  return found;
}
