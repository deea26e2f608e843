import pg from 'pg';
import { HeadwaterError } from '../../base/errors.ts';
import type { Relation, Tuple } from '../pgoutput.ts';
import type {
  FollowedColumn,
  FollowedTable,
  LoadedColumns,
  LoadQuery,
  RowChange,
  TableMapping,
  TransactionFold,
} from './preset.ts';
import type { SourceRow } from './source-row.ts';
import { parseTimestamp } from './time.ts';
import type { TypeChoice } from './type-choice.ts';

const TEXTS = ['text', 'character varying'];
export const NAMES = [...TEXTS, 'uuid', 'smallint', 'integer', 'bigint', 'numeric', 'citext'];
export const TIMES = ['timestamp with time zone'];
export const BODIES = [...TEXTS, 'json', 'jsonb'];

export type RowTable = FollowedTable & { readonly mapping: TableMapping };

/** The table as checks need it. */
export function followedTable(mapping: TableMapping): RowTable {
  const { schema, table, type, where = [], alsoKey = [], extra = [] } = mapping;
  const names = (name: string | null, types: readonly string[], enums = false): FollowedColumn[] =>
    name === null ? [] : [{ name, types, enums }];
  const typeColumn = 'column' in type ? type.column : null;
  return {
    schema,
    table,
    columns: [
      ...names(typeColumn, NAMES, true),
      ...names(mapping.id, NAMES),
      ...names(mapping.version, NAMES, true),
      ...names(mapping.lastUpdated, TIMES),
      ...names(mapping.body, BODIES),
      ...names(mapping.deleted, ['boolean']),
      ...where.flatMap(({ column }) => names(column, NAMES, true)),
      ...extra,
    ],
    key: [
      ...(typeColumn === null ? [] : [typeColumn]),
      mapping.id,
      ...where.map(({ column }) => column),
      ...alsoKey,
    ],
    holds: 'constant' in type ? { type: type.constant } : 'every type',
    mapping,
  };
}

/** The query of a first load of the table: its live rows. */
export function loadQuery(mapping: TableMapping, follows: TypeChoice): LoadQuery {
  const column = (name: string | null): string =>
    name === null ? 'NULL::text' : `${pg.escapeIdentifier(name)}::text`;
  const { type, deleted, where = [], extra = [] } = mapping;
  const columns = [
    'column' in type ? column(type.column) : `${pg.escapeLiteral(type.constant)}::text`,
    column(mapping.id),
    column(mapping.version),
    column(mapping.lastUpdated),
    column(mapping.body),
    ...extra.map(({ name }) => column(name)),
  ];
  const conditions = [
    ...(deleted === null ? [] : [`${pg.escapeIdentifier(deleted)} IS NOT TRUE`]),
    ...where.map(({ column: name, value }) => `${column(name)} = ${pg.escapeLiteral(value)}`),
  ];
  const live = ` WHERE ${conditions.length > 0 ? conditions.join(' AND ') : 'true'}`;
  return {
    from: { schema: mapping.schema, table: mapping.table },
    place: 'ctid',
    sql: ({ schema, table }) =>
      `SELECT ${columns.join(', ')} FROM ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}${live}`,
    extra: extra.map(({ name }) => name),
    read: (loaded: LoadedColumns): SourceRow => ({
      ...loaded,
      lastUpdated: parseTimestamp(loaded.updated),
      deleted: !follows(loaded.type),
    }),
  };
}

export function mappingOf(table: FollowedTable): TableMapping {
  if (table.mapping) return table.mapping;
  throw new HeadwaterError('internal', `a row of ${table.schema}.${table.table} is not one resource`);
}

/** Each changed row is a changed resource, complete at once. */
export class RowFold implements TransactionFold {
  readonly #readers = new Map<number, RowReader>();
  readonly #follows: TypeChoice;

  constructor(follows: TypeChoice) {
    this.#follows = follows;
  }

  describe(relation: Relation, table: FollowedTable): void {
    this.#readers.set(relation.oid, new RowReader(relation, mappingOf(table), this.#follows));
  }

  add(oid: number, old: Tuple | undefined, row: Tuple | undefined): readonly RowChange[] {
    const reader = this.#readers.get(oid);
    return reader ? [{ old: old && reader.read(old), row: row && reader.read(row) }] : [];
  }

  readonly held = 0;

  complete(): Promise<readonly RowChange[]> {
    return NOTHING;
  }
}

const NOTHING: Promise<readonly RowChange[]> = Promise.resolve([]);

/** Reads the rows of one relation. It is valid until PostgreSQL describes the relation again. */
class RowReader {
  readonly #mapping: TableMapping;
  readonly #follows: TypeChoice;
  readonly #at: Readonly<Record<'type' | 'id' | 'version' | 'lastUpdated' | 'body' | 'deleted', number>>;
  readonly #where: readonly { readonly at: number; readonly value: string }[];
  readonly #extra: readonly { readonly at: number; readonly name: string }[];

  /** Throws `unsupported` when the table has lost a mapped column. */
  constructor(relation: Relation, mapping: TableMapping, follows: TypeChoice) {
    const place = (column: string | null): number => (column === null ? -1 : placeOf(relation, column));
    this.#mapping = mapping;
    this.#follows = follows;
    this.#at = {
      type: 'column' in mapping.type ? place(mapping.type.column) : -1,
      id: place(mapping.id),
      version: place(mapping.version),
      lastUpdated: place(mapping.lastUpdated),
      body: place(mapping.body),
      deleted: place(mapping.deleted),
    };
    this.#where = (mapping.where ?? []).map(({ column, value }) => ({ at: place(column), value }));
    this.#extra = (mapping.extra ?? []).map(({ name }) => ({ at: place(name), name }));
  }

  read(tuple: Tuple): SourceRow {
    const text = (at: number): string | null => (at < 0 ? null : textAt(tuple, at));
    const type = 'constant' in this.#mapping.type ? this.#mapping.type.constant : (text(this.#at.type) ?? '');
    const updated = text(this.#at.lastUpdated);
    const row = {
      type,
      id: text(this.#at.id) ?? '',
      version: text(this.#at.version),
      lastUpdated: parseTimestamp(updated),
      updated,
      body: tuple[this.#at.body],
      deleted:
        text(this.#at.deleted) === 't' ||
        this.#where.some(({ at, value }) => text(at) !== value) ||
        !this.#follows(type),
    };
    if (this.#extra.length === 0) return row;
    return { ...row, extra: Object.fromEntries(this.#extra.map(({ at, name }) => [name, text(at)])) };
  }
}

/** The text of a column; null if it is null, or large and unchanged by an update. */
export function textAt(tuple: Tuple, at: number): string | null {
  return tuple[at]?.toString('utf8') ?? null;
}

/** The place of a column among those of a relation. Throws `unsupported` when the table has lost it. */
export function placeOf({ schema, table, columns }: Relation, column: string): number {
  const at = columns.indexOf(column);
  if (at >= 0) return at;
  throw new HeadwaterError('unsupported', `${schema}.${table} has no column ${column} any more`);
}
