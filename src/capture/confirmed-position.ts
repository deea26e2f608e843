import type { Lsn } from '../base/positions.ts';

/**
 * Decides which LSN may be confirmed to PostgreSQL: only one that Kafka has stored. PostgreSQL throws away what lies before
 * it, so confirming anything else loses changes at the next crash.
 */
export class ConfirmedPosition {
  #stored: Lsn;
  #reached: Lsn;
  #advanced: Lsn;
  #open = false;

  constructor(stored: Lsn) {
    this.#stored = this.#reached = this.#advanced = stored;
  }

  /** The position that may be confirmed. */
  get stored(): Lsn {
    return this.#stored;
  }

  /** End of the last source transaction that was received whole: the position to store with it. */
  get reached(): Lsn {
    return this.#reached;
  }

  /** Up to where PostgreSQL has sent everything. */
  get advanced(): Lsn {
    return this.#advanced;
  }

  get inTransaction(): boolean {
    return this.#open;
  }

  transactionBegan(): void {
    this.#open = true;
  }

  transactionEnded(end: Lsn): void {
    this.#open = false;
    if (end > this.#reached) this.#reached = end;
  }

  /** PostgreSQL has sent everything up to here. */
  advancedTo(position: Lsn): void {
    if (position > this.#advanced) this.#advanced = position;
  }

  /** Kafka has committed this position and all it covers. */
  committed(position: Lsn): void {
    if (position > this.#stored) this.#stored = position;
  }

  /**
   * On a database where nothing of ours happens: a position past the stored one with nothing of ours before it, worth
   * storing so that PostgreSQL can drop its log. undefined while anything is not stored or nothing has moved.
   */
  idleAdvance(): Lsn | undefined {
    return !this.#open && this.#reached <= this.#stored && this.#advanced > this.#stored
      ? this.#advanced
      : undefined;
  }
}
