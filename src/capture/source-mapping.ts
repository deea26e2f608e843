import { HeadwaterError } from '../base/errors.ts';
import type { ColumnValue, Relation, Tuple } from './pgoutput.ts';

/** The columns of a source table. */
export interface TableMapping {
  readonly schema: string;
  readonly table: string;
  /** A column with the resource type, or the one type the table holds. */
  readonly type: { readonly column: string } | { readonly constant: string };
  readonly id: string;
  /** Version id; null when the source has none. */
  readonly version: string | null;
  /** timestamptz; null when the source has none. */
  readonly lastUpdated: string | null;
  /** json, jsonb or text. */
  readonly body: string;
  /** boolean for rows that stay when their resource is deleted; null when rows are removed. */
  readonly deleted: string | null;
}

export type MappedColumns = Omit<TableMapping, 'schema' | 'table'>;

/** The tables of a source that hold the current version of its resources, one row a resource. */
export type SourceMapping = readonly TableMapping[];

/** Returns each mapped column: the part of a row that it holds, and its name. */
export function mappedColumns(mapping: TableMapping): [keyof MappedColumns, string][] {
  const { type, id, version, lastUpdated, body, deleted } = mapping;
  const columns: Record<keyof MappedColumns, string | null> = {
    type: 'column' in type ? type.column : null,
    id,
    version,
    lastUpdated,
    body,
    deleted,
  };
  return Object.entries(columns).filter((entry): entry is [keyof MappedColumns, string] => entry[1] !== null);
}

export type Preset = 'headwater';

/** @param table `schema.table`, for presets whose table may be named otherwise */
export function presetMapping(preset: Preset, table: string): SourceMapping {
  const [schema, name, ...rest] = table.split('.');
  if (!schema || !name || rest.length > 0) {
    throw new HeadwaterError('bad-config', `HEADWATER_SOURCE_TABLE: "${table}" is not schema.table`);
  }
  switch (preset) {
    case 'headwater':
      return [
        {
          schema,
          table: name,
          type: { column: 'type' },
          id: 'id',
          version: 'version',
          lastUpdated: 'last_updated',
          body: 'body',
          deleted: 'deleted',
        },
      ];
  }
}

/** A row of a mapped table. `body` undefined: large and unchanged by an update, so not sent. */
export interface SourceRow {
  readonly type: string;
  readonly id: string;
  readonly version: string | null;
  /** ms since 1970. */
  readonly lastUpdated: number | null;
  readonly body: ColumnValue;
  readonly deleted: boolean;
}

/**
 * Returns why changes of the relation, as PostgreSQL describes it at a place of its log, are incomplete; undefined if they are complete.
 * Without FULL they lack large bodies that an update left alone, and the deleted row. A column may have had another name for a while.
 */
export function gapOf(relation: Relation, mapping: TableMapping): string | undefined {
  const of = `a change of ${relation.schema}.${relation.table} was written`;
  if (!relation.fullIdentity) return `${of} without REPLICA IDENTITY FULL`;
  const lacking = mappedColumns(mapping).find(([, column]) => !relation.columns.includes(column));
  return lacking && `${of} while it had no column ${lacking[1]}`;
}

/** Reads the rows of one relation. It is valid until PostgreSQL describes the relation again. */
export class RowReader {
  readonly relation: Relation;
  readonly mapping: TableMapping;
  readonly #at: Readonly<Record<'type' | 'id' | 'version' | 'lastUpdated' | 'body' | 'deleted', number>>;

  /** Throws `unsupported` when the table has lost a mapped column. */
  constructor(relation: Relation, mapping: TableMapping) {
    this.relation = relation;
    this.mapping = mapping;
    const place = (column: string | null): number => {
      if (column === null) return -1;
      const at = relation.columns.indexOf(column);
      if (at < 0) {
        throw new HeadwaterError(
          'unsupported',
          `${relation.schema}.${relation.table} has no column ${column} any more`,
        );
      }
      return at;
    };
    this.#at = {
      type: 'column' in mapping.type ? place(mapping.type.column) : -1,
      id: place(mapping.id),
      version: place(mapping.version),
      lastUpdated: place(mapping.lastUpdated),
      body: place(mapping.body),
      deleted: place(mapping.deleted),
    };
  }

  read(tuple: Tuple): SourceRow {
    return {
      type:
        'constant' in this.mapping.type
          ? this.mapping.type.constant
          : (this.#text(tuple, this.#at.type) ?? ''),
      id: this.#text(tuple, this.#at.id) ?? '',
      version: this.#text(tuple, this.#at.version),
      lastUpdated: parseTimestamp(this.#text(tuple, this.#at.lastUpdated)),
      body: tuple[this.#at.body],
      deleted: this.#text(tuple, this.#at.deleted) === 't',
    };
  }

  #text(tuple: Tuple, at: number): string | null {
    return at < 0 ? null : (tuple[at]?.toString('utf8') ?? null);
  }
}

/** ms since 1970 of a timestamptz as PostgreSQL prints it in ISO style (`2026-11-21 13:17:00.123+00`). */
export function parseTimestamp(text: string | null): number | null {
  if (text === null) return null;
  const time = Date.parse(text.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00'));
  return Number.isNaN(time) ? null : time;
}
