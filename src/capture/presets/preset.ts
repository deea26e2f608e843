import type { Relation, Tuple } from '../pgoutput.ts';
import type { Rendering } from './rendering.ts';
import type { SourceRow } from './source-row.ts';

/** A changed resource: the row before and after. */
export interface RowChange {
  readonly old: SourceRow | undefined;
  readonly row: SourceRow | undefined;
}

export interface FollowedColumn {
  readonly name: string;
  /** PostgreSQL's names of the types whose text is the same in COPY as in the stream, and is what the column is read as. */
  readonly types: readonly string[];
  /** An enum is read as well. */
  readonly enums: boolean;
}

/** A table of which each row is the current version of one resource. */
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
  /** The rows that are followed have these values. Other rows count as deleted. */
  readonly where?: readonly { readonly column: string; readonly value: string }[];
  /** More columns that identify a resource. */
  readonly alsoKey?: readonly string[];
  /** More columns that rendering needs, of these types. */
  readonly extra?: readonly FollowedColumn[];
}

/** A table of the source whose changes are followed. */
export interface FollowedTable {
  readonly schema: string;
  readonly table: string;
  /** Every column that is read. */
  readonly columns: readonly FollowedColumn[];
  /** The columns that identify a row. A unique key must lie within them. */
  readonly key: readonly string[];
  /** The resources that a TRUNCATE of the table removes: all of one type, of every type, or none. */
  readonly holds: { readonly type: string } | 'every type' | 'none';
  /** How each row is one resource; absent where several tables make one. */
  readonly mapping?: TableMapping;
}

/** A table that exists in the source. */
export interface FoundTable {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
}

export interface TableName {
  readonly schema: string;
  readonly table: string;
}

/** A query of the first load. It returns type, id, version, lastUpdated, body, then the extra columns, all as text. */
export interface LoadQuery {
  /** The table whose rows it returns; others are joined to it. */
  readonly from: TableName;
  /** Returns the query over the table, or over a partition of it. It ends with the conditions of a WHERE clause. */
  readonly sql: (from: TableName) => string;
  /** In `sql`, the place of a row of `from`: its ctid. */
  readonly place: string;
  readonly extra: readonly string[];
  /** Makes the row of a resource from its columns; `deleted` is false unless the row is left out. */
  readonly read: (columns: LoadedColumns) => SourceRow;
}

export interface LoadedColumns {
  readonly type: string;
  readonly id: string;
  readonly version: string | null;
  readonly updated: string | null;
  readonly body: Buffer | null;
  readonly extra: Readonly<Record<string, string | null>>;
}

/** Runs a query in the source and returns its rows, every column as text. */
export type Lookup = (
  sql: string,
  values: readonly unknown[],
) => Promise<readonly (readonly (string | null)[])[]>;

/**
 * Turns the changed rows of transactions into changed resources. One lives as long as a stream. It holds what it needs of a transaction
 * until its end, since the rows of one resource may come from several tables and in any order.
 */
export interface TransactionFold {
  /** PostgreSQL describes a relation before its first change, and again after DDL. */
  describe(relation: Relation, table: FollowedTable): void;
  /** Returns the changes that are complete with this row. */
  add(oid: number, old: Tuple | undefined, row: Tuple | undefined): readonly RowChange[];
  /** The bytes that it holds. */
  readonly held: number;
  /** Returns the other changes, and holds nothing any more. `isEnd`: of the transaction; otherwise it held too much. */
  complete(lookup: Lookup, isEnd: boolean): Promise<readonly RowChange[]>;
}

/** A question to the source before it is followed, and the judgement of its answer. */
export interface Preflight {
  readonly sql: string;
  /** Returns one line that says what to change; undefined if all is well. */
  readonly problem: (rows: readonly (readonly (string | null)[])[]) => string | undefined;
}

/** How one kind of FHIR server keeps its resources in PostgreSQL: data and pure functions. */
export interface Preset {
  readonly name: string;
  /** Everything in the settings that shapes bodies or picks resources; empty if nothing does. Another one leads to a reload. */
  readonly fingerprint: string;
  /** The setting that tells where the tables are, for messages. */
  readonly setting: string;
  /** The schema whose tables are looked at; undefined if the tables are known by name. */
  readonly schema: string | undefined;
  readonly rendering: Rendering;
  /** @param found the tables of `schema` */
  tables(found: readonly FoundTable[]): readonly FollowedTable[];
  loads(tables: readonly FollowedTable[]): readonly LoadQuery[];
  /** @param found as for `tables` */
  preflights(tables: readonly FollowedTable[], found: readonly FoundTable[]): readonly Preflight[];
  /**
   * Returns the tables that are read beside the followed ones.
   * @param found as for `tables`
   */
  alsoReads(found: readonly FoundTable[]): readonly { readonly schema: string; readonly table: string }[];
  fold(): TransactionFold;
}
