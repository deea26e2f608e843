import { HeadwaterError } from './errors.ts';

/** A record's place in one partition of the log. Ranges are half-open: [from, to). Below 2^53, so a number holds it. */
export type Offset = number & { readonly __brand: 'Offset' };

/** A place in PostgreSQL's write-ahead log. */
export type Lsn = bigint & { readonly __brand: 'Lsn' };

/**
 * Milliseconds since 1970 on the log's own clock: the commit time of the source, as a running maximum, moved on by one
 * after each cut. So every record before a cut has a stamp <= the cut's, every one after it a greater stamp.
 */
export type Stamp = number & { readonly __brand: 'Stamp' };

export function offset(value: number | bigint): Offset {
  const n = Number(value);
  if (!Number.isSafeInteger(n) || n < 0)
    throw new HeadwaterError('corrupt', `${String(value)} is not an offset`);
  return n as Offset;
}

export function stamp(value: number | bigint): Stamp {
  const n = Number(value);
  if (!Number.isSafeInteger(n)) throw new HeadwaterError('corrupt', `${String(value)} is not a stamp`);
  return n as Stamp;
}

export function lsn(value: bigint): Lsn {
  return value as Lsn;
}

/** `16/B374D848`, as PostgreSQL writes it. */
export function formatLsn(value: Lsn): string {
  return `${(value >> 32n).toString(16).toUpperCase()}/${(value & 0xffffffffn).toString(16).toUpperCase()}`;
}

export function parseLsn(text: string): Lsn {
  const match = /^([0-9a-f]{1,8})\/([0-9a-f]{1,8})$/i.exec(text);
  if (!match) throw new HeadwaterError('corrupt', `"${text}" is not an LSN`);
  return ((BigInt(`0x${match[1] ?? ''}`) << 32n) | BigInt(`0x${match[2] ?? ''}`)) as Lsn;
}

/** The life of a log from one first load to the next. What an earlier epoch held is gone, deletes included. */
export interface Epoch {
  /** Random. */
  readonly id: string;
  /** Stamp of the first load: every record of the epoch has this one or a later one. */
  readonly began: Stamp;
}

/**
 * A consistent snapshot of the log: where every resource partition ended when the export request passed capture.
 * `ends` maps a resource type to the end offset of each of its partitions, by partition number.
 */
export interface Cut {
  readonly lsn: Lsn;
  readonly time: Stamp;
  readonly ends: ReadonlyMap<string, readonly Offset[]>;
  /** Mean size of a resource of each type in bytes, for planning and progress only. */
  readonly meanBytes: ReadonlyMap<string, number>;
  /** Kafka's id of each type's topic: another id now means that the topic was deleted and made again. Absent in old cuts. */
  readonly topicIds?: ReadonlyMap<string, string>;
  /** Absent in old cuts. */
  readonly epoch?: Epoch;
  /**
   * Stamp of the last reload before the cut. What a reload wrote does not say whose the resource was before: a reader that
   * needs to know looks at the versions before the reload.
   */
  readonly reloaded?: Stamp | undefined;
}
