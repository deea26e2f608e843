import { NO_AUDIT } from './audit.ts';
import type { AuditHead } from './audit.ts';
import type { Offset } from '../base/positions.ts';

/** The place of an announcement: the offset of its status event, and its number among the announcements of that event, from 0. */
export interface AnnouncementPlace {
  readonly offset: Offset;
  readonly n: number;
}

/** How far the public topics got. Written to `headwater.announced` in the Kafka transaction of the records up to there. */
export interface Announced {
  /** The last announcement of each status partition that is in `headwater.exports`. */
  readonly places: ReadonlyMap<number, AnnouncementPlace>;
  /** The end of `headwater.audit`. */
  readonly audit: AuditHead;
}

export const NOTHING_ANNOUNCED: Announced = { places: new Map(), audit: NO_AUDIT };
