import pg from 'pg';
import type { LoadedColumns, LoadQuery } from '../preset.ts';
import { labelsOf } from './render.ts';
import { tagDefinition, versionRow } from './rows.ts';
import { TAG_DEFINITION } from './tables.ts';
import { versionAsRow } from './versions.ts';
import type { HapiReading } from './versions.ts';

const EXTRA = ['partition_id', 'res_encoding', 'large_object', 'source_uri', 'request_id', 'tags'];

/** The query of a first load: every living resource with its current version, and its tags in one column of JSON. */
export function hapiLoad(
  schema: string,
  {
    reading,
    hasTags,
    partition,
  }: { readonly reading: HapiReading; readonly hasTags: boolean; readonly partition: string | undefined },
): LoadQuery {
  const of = pg.escapeIdentifier(schema);
  const members = Object.keys(TAG_DEFINITION)
    .map((name) => `'${name}', d.${name}::text`)
    .join(', ');
  const tags = hasTags
    ? `CASE WHEN r.has_tags THEN (SELECT json_agg(json_build_object(${members}))::text FROM ${of}.hfj_res_tag t
        JOIN ${of}.hfj_tag_def d ON d.tag_id = t.tag_id WHERE t.res_id = r.res_id) END`
    : 'NULL::text';
  const where = partition === undefined ? '' : ` AND ${partitionIs('r.partition_id', partition)}`;
  return {
    from: { schema, table: 'hfj_resource' },
    place: 'r.ctid',
    sql: (
      from,
    ) => `SELECT r.res_type::text, rtrim(r.fhir_id)::text, r.res_ver::text, r.res_updated::text, v.res_text_vc::text,
      r.partition_id::text, v.res_encoding::text,
      CASE WHEN v.res_text IS NOT NULL THEN encode(lo_get(v.res_text), 'base64') END,
      v.source_uri::text, v.request_id::text, ${tags}
      FROM ${pg.escapeIdentifier(from.schema)}.${pg.escapeIdentifier(from.table)} r LEFT JOIN ${of}.hfj_res_ver v ON v.res_id = r.res_id AND v.res_ver = r.res_ver
      WHERE r.res_deleted_at IS NULL${where}`,
    extra: EXTRA,
    read: (loaded) => loadedRow(loaded, reading, hasTags),
  };
}

/** SQL: whether a column holds a partition. */
export function partitionIs(column: string, partition: string): string {
  return partition === 'DEFAULT' ? `${column} IS NULL` : `${column}::text = ${pg.escapeLiteral(partition)}`;
}

function loadedRow(
  { type, id, version, updated, body, extra }: LoadedColumns,
  reading: HapiReading,
  hasTags: boolean,
): ReturnType<LoadQuery['read']> {
  const resource = { type, id, version: version ?? '', updated, partition: extra['partition_id'] ?? null };
  const found = versionRow({ ...extra, res_ver: version, res_updated: updated }, body);
  const labels = hasTags ? labelsOf(tagsIn(extra['tags'] ?? null)) : null;
  return versionAsRow(resource, found, labels, reading);
}

function tagsIn(json: string | null): ReturnType<typeof tagDefinition>[] {
  if (json === null) return [];
  return (JSON.parse(json) as Record<string, string | null>[]).map(tagDefinition);
}
