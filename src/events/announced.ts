import type { Offset } from '../base/positions.ts';

/** An announcement's place: the nth that the status event at this offset led to, from 0. */
export interface AnnouncementPlace {
  readonly offset: Offset;
  readonly n: number;
}

/**
 * The last announcement of each status partition that is in `headwater.exports`. Written to `headwater.announced` in the
 * Kafka transaction of the announcements up to there.
 */
export type Announced = ReadonlyMap<number, AnnouncementPlace>;
