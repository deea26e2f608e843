import type { Clock } from '../base/clock.ts';
import type { Lsn } from '../base/positions.ts';

/** The most probes that are kept, one a second. During a longer outage the oldest one still gives the age. */
const MAX_PROBES = 4_096;

/** The end of the source's log at a time. */
interface Probe {
  readonly lsn: Lsn;
  /** ms since 1970, by this process. */
  readonly at: number;
}

/**
 * Computes the age of the oldest change that is committed in the source and not stored in Kafka. Only its clock is impure. It lives as
 * long as the process, so it also measures while capture is down.
 *
 * | # | capture                                    | since when Kafka lacks something                              |
 * |---|--------------------------------------------|---------------------------------------------------------------|
 * | 1 | never led here, or another one leads       | unknown here                                                  |
 * | 2 | has received transactions that are not stored | commit of the oldest                                       |
 * | 3 | was not yet sent what a probe saw          | the oldest such probe                                         |
 * | 4 | is down, loads, or has not caught up yet   | as of its end (2, 3), or the last probe that was covered; else its start |
 * | 5 | has stored all that the last probe saw     | nothing is missing                                            |
 */
export class CaptureLag {
  readonly #clock: Clock;
  #leads = false;
  #downSince: number | undefined;
  #open: number | undefined;
  #waiting: number | undefined;
  #committing: number | undefined;
  #probes: Probe[] = [];
  #coveredAt: number | undefined;
  /** Added to the source's times, in ms. */
  #skew = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** In ms; undefined if this process does not know it. */
  get value(): number | undefined {
    if (!this.#leads) return undefined; // 1
    const since = this.#downSince ?? this.#since();
    return since === undefined ? 0 : Math.max(0, this.#clock() - since);
  }

  /** Another capture leads. */
  standsBy(): void {
    this.#leads = false;
    this.#downSince = undefined;
    this.#forget();
  }

  /** This capture leads from now on. It has received nothing yet. */
  begins(): void {
    this.#leads = true;
    this.#downSince ??= this.#clock();
    this.#forget();
  }

  ended(): void {
    if (this.#leads) this.#downSince ??= this.#since() ?? this.#coveredAt ?? this.#clock();
    this.#forget();
  }

  /** @param commitTime ms since 1970, by the source */
  transactionBegan(commitTime: number): void {
    this.#open = commitTime + this.#skew;
    this.#downSince = undefined; // the probes tell from now on
  }

  transactionEnded(): void {
    this.#waiting ??= this.#open;
    this.#open = undefined;
  }

  /** All transactions that have ended are being committed. */
  handedOver(): void {
    this.#committing ??= this.#waiting;
    this.#waiting = undefined;
  }

  /** The transactions are stored. @param covered nothing before this position is missing */
  stored(covered: Lsn): void {
    this.#committing = undefined;
    this.covered(covered);
  }

  /** Nothing before this position is missing. */
  covered(position: Lsn): void {
    const next = this.#probes.findIndex(({ lsn }) => lsn > position);
    const passed = this.#probes.splice(0, next < 0 ? this.#probes.length : next).at(-1);
    if (!passed) return;
    this.#coveredAt = passed.at;
    if (this.#probes.length === 0) this.#downSince = undefined;
  }

  /** @param sourceTime ms since 1970, by the source */
  probed(lsn: Lsn, sourceTime: number): void {
    const at = this.#clock();
    this.#skew = at - sourceTime;
    if (this.#probes.length < MAX_PROBES) this.#probes.push({ lsn, at });
  }

  #since(): number | undefined {
    return this.#committing ?? this.#waiting ?? this.#open ?? this.#probes[0]?.at; // 2, 3, 5
  }

  #forget(): void {
    this.#open = this.#waiting = this.#committing = this.#coveredAt = undefined;
    this.#probes = [];
  }
}
