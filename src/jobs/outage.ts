/** ms for which a job may be idle after an outage: workers must join their groups and continue their tasks. */
const GRACE = 120_000;

/**
 * Remembers outages for the janitor. It outlives the janitor, which starts again after each error. While Kafka, the database or the
 * store is away, no job can move, so an idle job must not fail until the servers have answered for a while.
 */
export class Outage {
  #noticed = false;
  #graceUntil = -Infinity;

  /** Call it if a round failed. */
  notice(): void {
    this.#noticed = true;
  }

  /** Call it when the servers answer. @param now ms since 1970 */
  answered(now: number): void {
    if (this.#noticed) this.#graceUntil = now + GRACE;
    this.#noticed = false;
  }

  /** Whether an outage can be the cause of a job's idleness. */
  explainsIdleness(now: number): boolean {
    return now < this.#graceUntil;
  }
}
