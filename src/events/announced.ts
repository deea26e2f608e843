import type { Offset } from '../base/positions.ts';

/** The place of an announcement: the offset of its status event, and its number among the announcements of that event, from 0. */
export interface AnnouncementPlace {
  readonly offset: Offset;
  readonly n: number;
}

/**
 * The last announcement of each status partition that is in `headwater.exports`. Written to `headwater.announced` in the
 * Kafka transaction of the announcements up to there.
 */
export type Announced = ReadonlyMap<number, AnnouncementPlace>;
