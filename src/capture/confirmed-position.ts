import type { Lsn } from '../base/positions.ts';

/**
 * Decides which LSN may be confirmed to PostgreSQL: only one up to which Kafka has stored everything. PostgreSQL deletes the log before
 * it, so a later LSN would lose changes at the next crash.
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

  /** PostgreSQL has sent everything before this position. */
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

  /** Records that PostgreSQL has sent everything before this position. */
  advancedTo(position: Lsn): void {
    if (position > this.#advanced) this.#advanced = position;
  }

  /** Records that Kafka has committed this position and everything before it. */
  committed(position: Lsn): void {
    if (position > this.#stored) this.#stored = position;
  }

  /**
   * Returns a later position that may be stored although nothing of ours has happened before it, so that PostgreSQL can delete its log.
   * undefined while something is not stored, or if the position has not moved.
   */
  idleAdvance(): Lsn | undefined {
    return !this.#open && this.#reached <= this.#stored && this.#advanced > this.#stored
      ? this.#advanced
      : undefined;
  }
}
