import type { Lsn } from '../base/positions.ts';
import type { Position } from '../events/position.ts';

export interface PositionStore {
  /** What was committed last; undefined before the first load. */
  read(): Promise<Position | undefined>;
  readonly topic: string;
  /** Of the position's records: the log has one position, whatever slot it is of. */
  readonly key: string;
  encode(position: Position): Buffer;
}

/** A position as a record for the log. */
export function positionRecord(
  { key, encode }: Pick<PositionStore, 'key' | 'encode'>,
  position: Position,
  timestamp: number,
): { timestamp: number; key: Buffer; value: Buffer } {
  return { timestamp, key: Buffer.from(key), value: encode(position) };
}

export type StartMode =
  /** Nothing is stored: load into emptied topics. */
  | 'first-load'
  /** The slot cannot say what happened since the position: load again as updates, and write deletes for what has gone. */
  | 'reload'
  | 'stream';

/**
 * | # | stored position | slot                                         | start      |
 * |---|-----------------|----------------------------------------------|------------|
 * | 1 | none, or an interrupted first load | any                                          | first-load |
 * | 2 | lsn 0 (a reload was interrupted) | any                         | reload     |
 * | 3 | of another database | any                                      | reload     |
 * | 4 | yes             | none, lost, or confirmed past the position   | reload     |
 * | 5 | yes             | confirmed at or before the position          | stream     |
 */
export function startMode(
  position: Position | undefined,
  systemId: string,
  slot: { readonly lost: boolean; readonly confirmed: Lsn } | undefined,
): StartMode {
  if (!position || position.pending === 'first-load') return 'first-load'; // 1
  if (position.pending === 'reload' || position.lsn === 0n || position.systemId !== systemId) return 'reload'; // 2, 3
  if (!slot || slot.lost || slot.confirmed > position.lsn) return 'reload'; // 4
  return 'stream'; // 5
}
