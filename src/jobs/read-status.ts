import { remedyFor } from '../base/errors.ts';
import type { Offset } from '../base/positions.ts';
import type { StatusEvent } from '../events/status.ts';
import type { StoredRecord } from '../log/log.ts';

/** Decoder of the status topic, and the reaction to unreadable records. */
export interface StatusReading {
  readonly codec: { decode(bytes: Buffer): StatusEvent | Promise<StatusEvent> };
  /** Called for an unreadable record, which is skipped. */
  readonly onUnreadable: (place: UnreadablePlace, error: unknown) => void;
}

export interface UnreadablePlace {
  readonly partition: number;
  readonly offset: Offset;
}

/** The event of a record. Returns undefined if the record is unreadable, so that it does not block the records after it. */
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
