import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/service.ts';

const HOUR = 3_600_000;
/** Keys remembered, and so told of, in an hour. */
const MOST_KEYS = 10_000;

/**
 * Tells the operator of rows that cannot be exported: each once an hour, however often it changes. When there are too many to
 * remember, one line says so, and the rest is only counted.
 */
export class ProblemLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #told = new Set<string>();
  #hourBegan = -Infinity;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  tell(key: string, problem: string): void {
    const now = this.#clock();
    if (now - this.#hourBegan >= HOUR) {
      this.#hourBegan = now;
      this.#told.clear();
    }
    if (this.#told.size > MOST_KEYS || this.#told.has(key)) return;
    this.#told.add(key);
    if (this.#told.size <= MOST_KEYS)
      this.#logger.error({ resource: key }, `${key} cannot be exported: ${problem}`);
    else
      this.#logger.error(
        {},
        `more than ${MOST_KEYS} resources cannot be exported; for the rest of the hour they are only counted`,
      );
  }
}
