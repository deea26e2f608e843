import type { Lsn, Stamp } from '../base/positions.ts';

/** What capture wrote of one resource type since the log began, cumulative. */
export interface TypeCount {
  readonly type: string;
  readonly records: number;
  /** Of the bodies. */
  readonly bytes: number;
}

/** How far capture got, in `headwater.position`, key = slot. Written in the Kafka transaction of the changes up to there. */
export interface Position {
  readonly slot: string;
  /** PostgreSQL's system identifier: the same LSN of another database means nothing. */
  readonly systemId: string;
  /** Every source transaction that ends at or before this is in the log. */
  readonly lsn: Lsn;
  readonly stamp: Stamp;
  readonly types: readonly TypeCount[];
}
