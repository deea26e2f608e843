import type { Lsn } from '../base/positions.ts';
import type { Position } from '../events/position.ts';

export interface PositionStore {
  /** What was committed last; undefined before the first load. */
  read(slot: string): Promise<Position | undefined>;
  readonly topic: string;
  encode(position: Position): Buffer;
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
 * | 1 | none            | any                                          | first-load |
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
  if (!position) return 'first-load'; // 1
  if (position.lsn === 0n || position.systemId !== systemId) return 'reload'; // 2, 3
  if (!slot || slot.lost || slot.confirmed > position.lsn) return 'reload'; // 4
  return 'stream'; // 5
}
