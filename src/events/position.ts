import { lsn, stamp } from '../base/positions.ts';
import type { Epoch, Lsn, Stamp } from '../base/positions.ts';

/** The records of one resource type that capture has written since the log began. */
export interface TypeCount {
  readonly type: string;
  readonly records: number;
  /** Bytes of the bodies. */
  readonly bytes: number;
}

/** A resource topic as capture knows it. */
export interface TopicState {
  readonly type: string;
  /** Kafka's id of the topic. */
  readonly id: string;
  /** The first offset of each partition, by number; 0, except after a reload of a log that had lost records. */
  readonly starts: readonly number[];
  /** The end of each partition, by number. The partition ends there or later. */
  readonly ends: readonly number[];
}

/** A fact in the catalog of the source that decides what the stream shows, such as a table or a column, with its identity. */
export interface CoverageFact {
  readonly subject: string;
  readonly value: string;
}

/**
 * The load that is needed before the stream can be followed. `first-load`: a first load was interrupted, or a reset was asked
 * for. `reload`: a reload was interrupted or asked for, or the stream lacks changes.
 */
export type PendingLoad = 'none' | 'first-load' | 'reload';

/** The position of capture, in `headwater.position`, key = topic prefix. It is written in the Kafka transaction of the changes before it. */
export interface Position {
  /** Replication slot; '' when any may follow (an operator asked for a load). */
  readonly slot: string;
  /** PostgreSQL's system identifier and the database's oid: the same LSN of another database means nothing. '' = any. */
  readonly systemId: string;
  /** PostgreSQL's timeline: the same LSN of another timeline may be another change. 0 = not known. */
  readonly timeline: number;
  /** Every source transaction that ends at or before this is in the log. */
  readonly lsn: Lsn;
  readonly stamp: Stamp;
  readonly pending: PendingLoad;
  /** undefined only in a position of an earlier release. */
  readonly epoch: Epoch | undefined;
  /** Stamp of the last reload, see `Cut`. */
  readonly reloaded?: Stamp | undefined;
  readonly types: readonly TypeCount[];
  readonly topics: readonly TopicState[];
  /** Facts that were proved when the stream or load began. While they hold, the stream had everything up to `lsn`. */
  readonly coverage: readonly CoverageFact[];
}

/** The position of a log before the first load. */
export const EMPTY_POSITION: Position = {
  slot: '',
  systemId: '',
  timeline: 0,
  lsn: lsn(0n),
  stamp: stamp(0),
  pending: 'none',
  epoch: undefined,
  types: [],
  topics: [],
  coverage: [],
};
