import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import { asking } from '../../database/pool.ts';

/** In ms: the pause between two removals of old rows. */
const CLEAN_EVERY = 60_000;
/** The most rows of one removal. */
const CLEAN_ROWS = 1_000;

/** Stores used assertions in the database, so that no gateway accepts one again, not even after a restart. */
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
   * Returns true for the first use. Call it only for a verified signature: otherwise any sender could use up the ids of other clients.
   * @param deadAt the end of the assertion's lifetime, in ms since 1970; its row stays until then
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
