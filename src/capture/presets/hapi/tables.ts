import type { FollowedColumn, FollowedTable } from '../preset.ts';

/*
 * The tables of HAPI FHIR JPA 7.0 and newer, as in the DDL that its jar holds (ca/uhn/hapi/fhir/jpa/docs/database). Smile CDR has
 * the same.
 */

const NUMBER = ['bigint', 'integer', 'smallint'];
const TEXT = ['character varying', 'text'];
const TIME = ['timestamp without time zone'];
const BOOLEAN = ['boolean'];

type Columns = Readonly<Record<string, readonly string[]>>;

export const RESOURCE = {
  res_id: NUMBER,
  res_type: TEXT,
  fhir_id: TEXT,
  res_ver: NUMBER,
  res_updated: TIME,
  res_deleted_at: TIME,
  partition_id: NUMBER,
} satisfies Columns;

export const VERSION = {
  pid: NUMBER,
  res_id: NUMBER,
  res_ver: NUMBER,
  res_type: TEXT,
  res_text_vc: TEXT,
  res_text: ['oid'],
  res_encoding: TEXT,
  res_updated: TIME,
  res_deleted_at: TIME,
  source_uri: TEXT,
  request_id: TEXT,
} satisfies Columns;

export const RESOURCE_TAG = { res_id: NUMBER, tag_id: NUMBER } satisfies Columns;

export const HISTORY_TAG = { res_ver_pid: NUMBER, tag_id: NUMBER, res_id: NUMBER } satisfies Columns;

export const TAG_DEFINITION = {
  tag_id: NUMBER,
  tag_type: NUMBER,
  tag_system: TEXT,
  tag_code: TEXT,
  tag_display: TEXT,
  tag_version: TEXT,
  tag_user_selected: BOOLEAN,
} satisfies Columns;

interface Table {
  readonly columns: Columns;
  readonly key: readonly string[];
}

/** Names of the tables, their columns and keys. */
export const TABLES = {
  hfj_resource: { columns: RESOURCE, key: ['res_id', 'partition_id'] },
  hfj_res_ver: { columns: VERSION, key: ['pid', 'partition_id'] },
  hfj_res_tag: { columns: RESOURCE_TAG, key: ['pid', 'partition_id', 'res_id', 'tag_id'] },
  hfj_history_tag: { columns: HISTORY_TAG, key: ['pid', 'partition_id', 'res_ver_pid', 'tag_id'] },
  hfj_tag_def: { columns: TAG_DEFINITION, key: ['tag_id'] },
} as const satisfies Record<string, Table>;

export type TableName = keyof typeof TABLES;

/** @param withTags whether tags are in tables of their own */
export function followedTables(schema: string, withTags: boolean): FollowedTable[] {
  const names: readonly TableName[] = withTags
    ? ['hfj_resource', 'hfj_res_ver', 'hfj_res_tag', 'hfj_history_tag', 'hfj_tag_def']
    : ['hfj_resource', 'hfj_res_ver'];
  return names.map((table) => ({
    schema,
    table,
    columns: columnsOf(TABLES[table].columns),
    key: TABLES[table].key,
    holds: table === 'hfj_resource' ? 'every type' : 'none',
  }));
}

function columnsOf(columns: Columns): FollowedColumn[] {
  return Object.entries(columns).map(([name, types]) => ({ name, types, enums: false }));
}
