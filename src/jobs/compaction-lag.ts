import type { Pool } from 'pg';
import { HeadwaterError } from '../base/errors.ts';
import type { Logger } from '../base/service.ts';
import { asking } from '../database/pool.ts';
import { DATABASE_CLOCK } from './movement.ts';
import type { JobTables } from './schema.ts';

/** For how many ms the topics of resources keep replaced versions. */
export interface CompactionLags {
  /** undefined if there are no such topics. */
  compactionLag(): Promise<{ readonly least: number; readonly most: number } | undefined>;
  setCompactionLag(ms: number): Promise<void>;
}

export interface CompactionLagOptions {
  readonly pool: Pool;
  readonly tables: JobTables;
  readonly lags: CompactionLags;
  /** The setting HEADWATER_COMPACTION_LAG. */
  readonly lagMs: number;
  /** ms between two looks at the topics while an old export is unfinished. */
  readonly lookMs: number;
  readonly logger: Logger;
}

/** As many times the pause between two looks at the topics if no old export is unfinished. */
const AT_REST = 30;
/** The most ms between a look at the jobs and the change that follows from it. */
const FRESH = 10_000;

/**
 * The part of the lag that is held in reserve: for clocks that differ, and for the time until the brokers know a change.
 * @param lagMs the setting
 */
export function reserveOf(lagMs: number): number {
  return lagMs / 3;
}

/**
 * Keeps the compaction lag of the resource topics longer than the oldest unfinished export is old. A pass of the cleaner removes a version only
 * if the one that replaced it is older than the lag. What an export needs was replaced after its cut. So while the lag is longer than the time
 * since the cut, the cleaner removes nothing that the export needs.
 *
 * | # | oldest unfinished export                   | then                                                         |
 * |---|--------------------------------------------|--------------------------------------------------------------|
 * | 1 | none, or younger than the reserve          | the lag of the setting                                       |
 * | 2 | older, and the lag is longer by the reserve | nothing                                                      |
 * | 3 | older, and half of the reserve is left      | the lag is made twice as long as it is old, and the setting  |
 * | 4 | older than the lag allows                  | exports that old fail first, since the log may lack versions; then 3 |
 */
export class CompactionLag {
  readonly #options: CompactionLagOptions;
  /** ms; when it looked at the topics last. */
  #lookedAt = -Infinity;
  /** Whether the lag is longer than the setting. */
  #isLonger = false;

  constructor(options: CompactionLagOptions) {
    this.#options = options;
  }

  /**
   * Looks at the topics if it is time, and sets their lag.
   * @param now ms since 1970, by the clock of the database
   * @param fail fails the jobs that were accepted before that time
   */
  async keep(now: number, fail: (acceptedBefore: number) => Promise<void>): Promise<void> {
    const { lags, lagMs, lookMs, logger } = this.#options;
    const began = performance.now();
    const oldest = await this.#oldest();
    const age = oldest === undefined ? 0 : now - oldest;
    const reserve = reserveOf(lagMs);
    const isOld = age > reserve;
    if (
      began <
      this.#lookedAt + (isOld ? Math.min(lookMs, reserve / 4) : this.#isLonger ? lookMs : AT_REST * lookMs)
    )
      return;
    this.#lookedAt = began;
    const found = await lags.compactionLag();
    if (!found) return;
    const { least, most } = found;
    this.#isLonger = most > lagMs;
    if (!isOld) {
      if ((most > lagMs || least < lagMs) && performance.now() - began < FRESH)
        await lags.setCompactionLag(lagMs); // 1
      return;
    }
    if (least >= age + reserve) return; // 2
    if (least < age + reserve / 2) {
      logger.error({ least, age }, 'the log may lack versions that old exports need, so they fail'); // 4
      await fail(now - least + reserve / 2);
    }
    const lag = Math.ceil(2 * age + lagMs);
    logger.info({ lag }, 'the log keeps replaced versions for longer, since an export is unfinished');
    await lags.setCompactionLag(lag); // 3
    this.#isLonger = true;
  }

  /** Returns the time of the oldest unfinished request, or of a reload under way, which needs the versions from before it. */
  async #oldest(): Promise<number | undefined> {
    const { pool, tables: t } = this.#options;
    const { rows } = await asking(() =>
      pool.query<{ since: string | null }>(
        `SELECT least((SELECT min(accepted_at) FROM ${t.unfinished}), (SELECT min(since) FROM ${t.reload})) AS since`,
      ),
    );
    const since = rows[0]?.since;
    return since === null || since === undefined ? undefined : Number(since);
  }
}

/**
 * Throws `unavailable` unless the log has kept every version since a time. Only a janitor makes the lag longer, and it fails the exports for which it is too
 * late before it does. So an export that finds the lag long enough, and that has not failed, has lost nothing.
 * @param since ms since 1970
 */
export async function requireVersions(
  lags: Pick<CompactionLags, 'compactionLag'>,
  lagMs: number,
  { since, now }: { readonly since: number; readonly now: number },
): Promise<void> {
  const age = now - since;
  if (age < reserveOf(lagMs)) return;
  const found = await lags.compactionLag();
  if (!found || found.least >= age + reserveOf(lagMs) / 2) return;
  throw new HeadwaterError(
    'unavailable',
    `the log keeps replaced versions for ${inMinutes(found.least)}, and this export is ${inMinutes(age)} old: start a janitor, which makes that longer`,
  );
}

function inMinutes(ms: number): string {
  return `${(ms / 60_000).toFixed(1)} minutes`;
}

/** A reload of capture as a row, so that the janitor keeps the versions from before it. An interrupted reload keeps its first time. */
export class RunningReload {
  readonly #pool: Pool;
  readonly #tables: JobTables;
  readonly #lags: Pick<CompactionLags, 'compactionLag'>;
  readonly #lagMs: number;

  constructor({
    pool,
    tables,
    lags,
    lagMs,
  }: Pick<CompactionLagOptions, 'pool' | 'tables' | 'lags' | 'lagMs'>) {
    this.#pool = pool;
    this.#tables = tables;
    this.#lags = lags;
    this.#lagMs = lagMs;
  }

  async began(): Promise<void> {
    await asking(() =>
      this.#pool.query(
        `INSERT INTO ${this.#tables.reload} (since) SELECT ${DATABASE_CLOCK} ON CONFLICT DO NOTHING`,
      ),
    );
  }

  /** Throws `unavailable` unless the log has kept the versions from before the reload. */
  async ends(): Promise<void> {
    const { rows } = await asking(() =>
      this.#pool.query<{ since: string; now: string }>(
        `SELECT since, ${DATABASE_CLOCK} AS now FROM ${this.#tables.reload}`,
      ),
    );
    const [row] = rows;
    if (row)
      await requireVersions(this.#lags, this.#lagMs, { since: Number(row.since), now: Number(row.now) });
  }

  async none(): Promise<void> {
    await asking(() => this.#pool.query(`DELETE FROM ${this.#tables.reload}`));
  }
}
