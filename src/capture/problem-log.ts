import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/service.ts';

const HOUR = 3_600_000;
/** The most rows that are reported in an hour. */
const MAX_KEYS = 10_000;

/**
 * Logs rows that cannot be exported: each at most once an hour, however often it changes. If there are too many to remember, one
 * line says so, and the others are only counted.
 */
export class ProblemLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #reported = new Set<string>();
  #hourBegan = -Infinity;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  report(key: string, problem: string): void {
    const now = this.#clock();
    if (now - this.#hourBegan >= HOUR) {
      this.#hourBegan = now;
      this.#reported.clear();
    }
    if (this.#reported.size > MAX_KEYS || this.#reported.has(key)) return;
    this.#reported.add(key);
    if (this.#reported.size <= MAX_KEYS)
      this.#logger.error({ resource: key }, `${key} cannot be exported: ${problem}`);
    else
      this.#logger.error(
        {},
        `more than ${MAX_KEYS} resources cannot be exported; for the rest of the hour they are only counted`,
      );
  }
}
