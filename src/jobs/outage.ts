/** ms for which a job may be idle after an outage: workers join their groups again and go on with their tasks. */
const GRACE = 120_000;

/**
 * What a janitor knows of outages. It outlives the janitor, which starts again after each error. While Kafka, the database or the
 * store is away no job can move, so idleness says nothing until the servers have answered for a while.
 */
export class Outage {
  #noticed = false;
  #graceUntil = -Infinity;

  /** A round failed. */
  notice(): void {
    this.#noticed = true;
  }

  /** The servers answer. @param now ms since 1970 */
  answered(now: number): void {
    if (this.#noticed) this.#graceUntil = now + GRACE;
    this.#noticed = false;
  }

  /** Whether the idleness of a job can be the outage's. */
  explainsIdleness(now: number): boolean {
    return now < this.#graceUntil;
  }
}
