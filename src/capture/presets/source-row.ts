import type { ColumnValue } from '../pgoutput.ts';

/** One resource as the source keeps it now, or kept it before a change. */
export interface SourceRow {
  readonly type: string;
  readonly id: string;
  readonly version: string | null;
  /** ms since 1970. */
  readonly lastUpdated: number | null;
  /** `lastUpdated` as PostgreSQL prints it; absent when no rendering needs it. */
  readonly updated?: string | null;
  /** The column's bytes, before rendering. Undefined: large and unchanged by an update, so not sent. */
  readonly body: ColumnValue;
  /** Marked deleted, of another tenant, or of a type that is left out: for Headwater there is no such resource. */
  readonly deleted: boolean;
  /** The source does not keep this version any more: its body and its patients are unknown. */
  readonly lost?: true;
  /** More columns, for rendering. */
  readonly extra?: Readonly<Record<string, string | null>>;
}
