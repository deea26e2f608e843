import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import { asking } from '../../database/pool.ts';

/** In ms: the pause between two removals of old rows, and the most rows of one. */
const CLEAN_EVERY = 60_000;
const CLEAN_ROWS = 1_000;

/** The assertions that were used, in the database: so none is used twice, whichever gateway gets it, also after a restart. */
export class UsedAssertions {
  readonly #pool: Pool;
  readonly #table: string;
  #cleanedAt = 0;

  /** @param table its qualified, quoted name */
  constructor(pool: Pool, table: string) {
    this.#pool = pool;
    this.#table = table;
  }

  /**
   * Returns true the first time. Called after the signature was verified: otherwise anybody could use up the ids of others.
   * @param deadAt ms since 1970, until which it is remembered
   */
  async use(
    clientId: string,
    jti: string,
    { deadAt, now }: { readonly deadAt: number; readonly now: number },
  ): Promise<boolean> {
    const hash = createHash('sha256').update(`${clientId}\n${jti}`).digest();
    const { rowCount } = await asking(() =>
      this.#pool.query(`INSERT INTO ${this.#table} (hash, dead_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, [
        hash,
        deadAt,
      ]),
    );
    if (now - this.#cleanedAt >= CLEAN_EVERY) {
      this.#cleanedAt = now;
      await asking(() =>
        this.#pool.query(
          `DELETE FROM ${this.#table} WHERE hash IN (SELECT hash FROM ${this.#table} WHERE dead_at < $1 LIMIT ${String(CLEAN_ROWS)})`,
          [now],
        ),
      );
    }
    return rowCount === 1;
  }
}
