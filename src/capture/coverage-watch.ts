import type pg from 'pg';
import { sleep } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { unavailable } from '../database/errors.ts';
import type { CoverageFact, Position, TopicState } from '../events/position.ts';
import type { Catalog, CatalogPartition } from './catalog.ts';
import { coverageGap } from './coverage.ts';
import type { Source } from './source.ts';
import type { FollowedTable } from './presets/preset.ts';

/** Pause between two checks, in ms. */
const INTERVAL = 3_000;
/** After so many checks without the topic, it counts as deleted. A broker that has just restarted knows its topics sooner. */
const LOOKS_WITHOUT_TOPIC = 5;

/** Returns the identities of the topics of these types, as the log has them. */
export type TopicIdentities = (
  types: readonly string[],
) => Promise<ReadonlyMap<string, { readonly id: string; readonly partitions: number }>>;

export interface CoverageWatchOptions {
  readonly source: Source;
  readonly start: Pick<Position, 'systemId' | 'timeline' | 'coverage'>;
  readonly identities: TopicIdentities;
  /** The topics that are written. */
  readonly topics: () => readonly TopicState[];
}

/**
 * Checks every few seconds, and before each cut, that the proved facts about the source still hold and that the topics are the
 * same. Invariant: no cut is written unless everything before it was in the stream. A check that fails ends the stream with an error. The
 * next start compares the source with the facts in the position again.
 */
export class CoverageWatch {
  readonly #options: CoverageWatchOptions;
  #proved: readonly CoverageFact[];
  #catalog: Catalog | undefined;
  #client: pg.Client | undefined;
  #looking: Promise<void> = Promise.resolve();
  #missing = 0;

  constructor(options: CoverageWatchOptions) {
    this.#options = options;
    this.#proved = options.start.coverage;
  }

  /** For the position. */
  get proved(): readonly CoverageFact[] {
    return this.#proved;
  }

  /** Returns the table of an object id, as of the last check; undefined for a table that is not followed. */
  tableOf(oid: number): FollowedTable | undefined {
    const at = this.#catalog?.tables.findIndex((table) => table?.oid === oid) ?? -1;
    return this.#catalog?.followed[at];
  }

  /** Returns the partitions of a table by its object id, as of the last check; undefined if it is not partitioned. */
  partitionsOf(oid: number): readonly CatalogPartition[] | undefined {
    const table = this.#catalog?.tables.find((one) => one?.oid === oid);
    return table?.kind === 'p' ? table.partitions : undefined;
  }

  /** The followed tables, as of the last check. */
  get followed(): readonly FollowedTable[] {
    return this.#catalog?.followed ?? [];
  }

  /** Resolves when everything that was committed before the call was in the stream, or will be. */
  verify(): Promise<void> {
    const look = this.#looking.then(() => this.#look());
    this.#looking = look.catch(() => undefined);
    return look;
  }

  /** Checks until the signal fires. Throws the error of the first check that fails. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(INTERVAL, signal).catch(() => undefined);
      if (signal.aborted) return;
      await this.verify();
      await this.#compareTopics();
    }
  }

  async close(): Promise<void> {
    await this.#looking;
    await this.#client?.end().catch(() => undefined);
  }

  async #look(): Promise<void> {
    const { source, start } = this.#options;
    const catalog = await this.#read();
    if (catalog.systemId !== start.systemId || catalog.timeline !== start.timeline)
      throw new HeadwaterError(
        'unavailable',
        `the source is another server or timeline now (${catalog.systemId}, ${catalog.timeline}) than at the start of the stream`,
      );
    source.requireTables(catalog);
    source.requireFollowed(catalog, this.#proved);
    const [problem] = source.problemsOf(catalog);
    if (problem && !problem.mend) throw new HeadwaterError('blocked', problem.text);
    const now = source.coverageOf(catalog);
    const gap = coverageGap(this.#proved, now);
    if (gap !== undefined)
      throw new HeadwaterError(
        'unavailable',
        `${gap} was changed or made again while it was followed, so the stream may lack changes; everything is loaded again`,
      );
    if (problem) throw new HeadwaterError('unavailable', `${problem.text}; Headwater does so`);
    this.#proved = now;
    this.#catalog = catalog;
  }

  async #read(): Promise<Catalog> {
    const { source } = this.#options;
    try {
      this.#client ??= await source.catalogSession();
      return await source.catalogOver(this.#client);
    } catch (error) {
      throw unavailable(error);
    }
  }

  async #compareTopics(): Promise<void> {
    const { identities, topics } = this.#options;
    const written = topics();
    const found = await identities(written.map(({ type }) => type));
    const changed = written.find(({ type, id, ends }) => {
      const is = found.get(type);
      return is !== undefined && (is.id !== id || is.partitions !== ends.length);
    });
    const missing = written.find(({ type }) => !found.has(type));
    this.#missing = missing ? this.#missing + 1 : 0;
    const gone = changed ?? (this.#missing >= LOOKS_WITHOUT_TOPIC ? missing : undefined);
    if (gone)
      throw new HeadwaterError(
        'unavailable',
        `the topic of ${gone.type} was deleted, made again or given more partitions while it was written`,
      );
  }
}
