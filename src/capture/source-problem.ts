import pg from 'pg';
import type { TableName } from './presets/preset.ts';

/** A reason why the stream or a load would miss something, and the remedy. */
export interface Problem {
  /** One line for the operator, which says what to run. */
  readonly text: string;
  /** The SQL that it names, with `<user>` for Headwater's role; absent if no SQL helps. */
  readonly run?: readonly string[];
  /** SQL that Headwater runs itself, on its own objects; undefined if an operator has to act. */
  readonly mend?: readonly string[];
}

/** The names of the installation whose catalog it is. */
export interface SourceNames {
  readonly slot: string;
  readonly publication: string;
  /** The topic prefix, which is the name of the installation. */
  readonly prefix: string;
  /** The setting that tells where the tables are. */
  readonly setting: string;
  /** Standbys are to keep the slot. */
  readonly slotFailover: boolean;
}

/** A problem that SQL mends. */
export function problem(text: string, sql: string, more = ''): Problem {
  return { text: `${text}; run ${sql}${more === '' ? '' : ` ${more}`}`, run: [sql] };
}

export function qualified({ schema, table }: TableName): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
}
