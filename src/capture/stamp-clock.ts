import { stamp } from '../base/positions.ts';
import type { Stamp } from '../base/positions.ts';

/**
 * The log's clock. Commit times of PostgreSQL can go backwards from one commit to the next and several share a
 * millisecond; stamps never go back, and a cut's stamp is its own: what is before it has none greater, what comes after
 * has none as small. So an instant alone names a cut, and `_since` can be answered by it.
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
