import type { Relation, Tuple } from '../../pgoutput.ts';
import { placeOf, textAt } from '../row-table.ts';
import type { TableName } from './tables.ts';
import { TABLES } from './tables.ts';

const BODY = 'res_text_vc';

/** A row as text by column; null where it is null, or large and unchanged by an update. */
export type Texts = Readonly<Record<string, string | null>>;

/** A row of hfj_resource. */
export interface ResourceRow {
  readonly resId: string;
  readonly type: string;
  readonly id: string;
  readonly version: string;
  readonly updated: string | null;
  readonly deleted: boolean;
  readonly partition: string | null;
}

/** A row of hfj_res_ver. */
export interface VersionRow {
  readonly pid: string;
  readonly resId: string;
  readonly version: string;
  /** null: in a large object, outside of the database, or there is none. */
  readonly body: Buffer | null;
  /** Base64 of a large object; only from lookups. */
  readonly largeObject: string | null;
  readonly encoding: string | null;
  readonly updated: string | null;
  readonly deleted: boolean;
  readonly sourceUri: string | null;
  readonly requestId: string | null;
}

/** A row of hfj_res_tag: one tag of a resource as it is now. */
export interface ResourceTag {
  readonly resId: string;
  readonly tagId: string;
}

/** A row of hfj_history_tag: one tag of one version. */
export interface TagRow extends ResourceTag {
  readonly versionPid: string;
}

/** A row of hfj_tag_def. */
export interface TagDefinition {
  readonly tagId: string;
  /** 0 tag, 1 profile, 2 security label. */
  readonly type: string;
  readonly system: string | null;
  readonly code: string | null;
  readonly display: string | null;
  readonly version: string | null;
  readonly userSelected: boolean | null;
}

export function resourceRow(of: Texts): ResourceRow {
  return {
    resId: of['res_id'] ?? '',
    type: of['res_type'] ?? '',
    id: (of['fhir_id'] ?? '').trimEnd(), // an early migration of HAPI padded it with spaces
    version: of['res_ver'] ?? '',
    updated: of['res_updated'] ?? null,
    deleted: (of['res_deleted_at'] ?? null) !== null,
    partition: of['partition_id'] ?? null,
  };
}

export function versionRow(of: Texts, body: Buffer | null): VersionRow {
  const encoding = of['res_encoding']?.trimEnd() ?? null;
  return {
    pid: of['pid'] ?? '',
    resId: of['res_id'] ?? '',
    version: of['res_ver'] ?? '',
    body,
    largeObject: of['large_object'] ?? null,
    encoding,
    updated: of['res_updated'] ?? null,
    deleted: (of['res_deleted_at'] ?? null) !== null || encoding === 'DEL',
    sourceUri: of['source_uri'] ?? null,
    requestId: of['request_id'] ?? null,
  };
}

export function resourceTag(of: Texts): ResourceTag {
  return { resId: of['res_id'] ?? '', tagId: of['tag_id'] ?? '' };
}

export function tagRow(of: Texts): TagRow {
  return { ...resourceTag(of), versionPid: of['res_ver_pid'] ?? '' };
}

export function tagDefinition(of: Texts): TagDefinition {
  const selected = of['tag_user_selected'] ?? null;
  return {
    tagId: of['tag_id'] ?? '',
    type: of['tag_type'] ?? '',
    system: of['tag_system'] ?? null,
    code: of['tag_code'] ?? null,
    display: of['tag_display'] ?? null,
    version: of['tag_version'] ?? null,
    userSelected: selected === null ? null : selected.startsWith('t'),
  };
}

/** Reads the tuples of one relation. It is valid until PostgreSQL describes the relation again. */
export class TupleReader {
  readonly table: TableName;
  readonly #places: readonly (readonly [name: string, at: number])[];
  readonly #body: number;

  /** Throws `unsupported` when the table has lost a column. */
  constructor(relation: Relation, table: TableName) {
    this.table = table;
    const names = Object.keys(TABLES[table].columns).filter((name) => name !== BODY);
    this.#places = names.map((name) => [name, placeOf(relation, name)]);
    this.#body = table === 'hfj_res_ver' ? placeOf(relation, BODY) : -1;
  }

  /** @param old has the values that an update left unchanged and did not send */
  read(tuple: Tuple, old?: Tuple): Texts {
    return Object.fromEntries(
      this.#places.map(([name, at]) => [name, textAt(tuple[at] === undefined && old ? old : tuple, at)]),
    );
  }

  /** Returns the body of a version, as bytes. */
  body(tuple: Tuple, old?: Tuple): Buffer | null {
    return tuple[this.#body] ?? (tuple[this.#body] === undefined ? (old?.[this.#body] ?? null) : null);
  }
}
