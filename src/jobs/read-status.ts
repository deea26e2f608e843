import { remedyFor } from '../base/errors.ts';
import type { Offset } from '../base/positions.ts';
import type { StatusEvent } from '../events/status.ts';
import type { StoredRecord } from '../log/log.ts';

/** How records of the status topic are read. */
export interface StatusReading {
  readonly codec: { decode(bytes: Buffer): StatusEvent | Promise<StatusEvent> };
  /** Told of a record that nobody can read, and that is left out. */
  readonly onUnreadable: (place: UnreadablePlace, error: unknown) => void;
}

export interface UnreadablePlace {
  readonly partition: number;
  readonly offset: Offset;
}

/** The event of a record; undefined for one that nobody can read, which must not hold up those that follow. */
export async function readStatus(
  { codec, onUnreadable }: StatusReading,
  partition: number,
  { offset, value }: StoredRecord,
): Promise<StatusEvent | undefined> {
  try {
    return await codec.decode(value);
  } catch (error) {
    if (remedyFor(error) !== 'fail') throw error;
    onUnreadable({ partition, offset }, error);
    return undefined;
  }
}
