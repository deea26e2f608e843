import { stamp } from '../base/positions.ts';
import type { Stamp } from '../base/positions.ts';

/**
 * The clock of the log. Commit times of PostgreSQL can go backwards, and several commits can share a millisecond. Stamps never go
 * back. The stamp of a cut belongs to it alone: no earlier record has a greater stamp, and every later record has a greater one. So
 * an instant names a cut, and `_since` can be answered by it.
 */
export class StampClock {
  #last: number;

  constructor(last: Stamp) {
    this.#last = last;
  }

  /** The newest stamp given out. */
  get last(): Stamp {
    return stamp(this.#last);
  }

  /** The stamp of a change that was committed at `commitTime` (ms since 1970). */
  change(commitTime: number): Stamp {
    this.#last = Math.max(this.#last, commitTime);
    return stamp(this.#last);
  }

  /** The stamp of a cut; every later stamp is greater. */
  cut(commitTime: number): Stamp {
    const time = Math.max(this.#last, commitTime);
    this.#last = time + 1;
    return stamp(time);
  }
}
