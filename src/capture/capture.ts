import { sleep } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { formatLsn } from '../base/positions.ts';
import type { HealthReporter, Logger, Service } from '../base/service.ts';
import type { Position, TopicState } from '../events/position.ts';
import type { Catalog } from './catalog.ts';
import type { CaptureMetrics } from './change-writer.ts';
import { Following } from './following.ts';
import type { FollowingOptions } from './following.ts';
import { load } from './load.ts';
import type { LoadProgress } from './load.ts';
import { refusalOf, startOf } from './position.ts';
import type { StartFacts } from './position.ts';
import type { ProblemLog } from './problem-log.ts';
import type { RowRules } from './read-row.ts';
import type { Requests } from './requests.ts';
import type { ResourceLog } from './resource-log.ts';
import type { Source } from './source.ts';
import { topicDifference } from './topic-states.ts';

const TOPICS_POLL = 500;
const TOPICS_PATIENCE = 10_000;

export interface CaptureOptions {
  /** The topic prefix, which is the name of the installation. */
  readonly prefix: string;
  readonly source: Source;
  readonly resources: ResourceLog;
  readonly requests: Requests;
  readonly rows: RowRules;
  /** The connections by which a load reads a large table. */
  readonly loadConnections: number;
  /** Lives as long as the process, so that a capture that starts again does not repeat its reports. */
  readonly problems: ProblemLog;
  readonly metrics: CaptureMetrics;
  readonly clock: Clock;
  /** Returns a random id. */
  readonly newId: () => string;
  readonly logger: Logger;
  readonly health: HealthReporter;
  /** Called while a load runs. */
  readonly onLoad?: (progress: LoadProgress) => void;
}

/**
 * Role: writes the changes of the source's write-ahead log to the resource topics and gives each export request its cut.
 * Invariants: whole source transactions, in commit order, exactly once; a position is confirmed to PostgreSQL only when
 * Kafka has stored it; a cut never falls inside a source transaction.
 * A crash: the next capture opens the log, which aborts the open Kafka transaction. It reads the stored position and continues
 * there. If a source transaction was too large for one Kafka transaction, its first part is repeated, in order: its last
 * records are the same again, and readers take the newest.
 */
export class Capture implements Service {
  readonly name = 'capture';
  readonly #options: CaptureOptions;

  constructor(options: CaptureOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { source, logger, health, metrics } = this.#options;
    const onWaiting = (): void => {
      logger.info({}, 'another capture leads; waiting');
      metrics.lag.standsBy();
      health.ready(); // a standby is healthy
    };
    const onSilent = ({ pid }: { readonly pid: number }): void =>
      logger.warn({ pid }, 'the capture that leads is silent; its session was ended');
    const lead = await source.lead(signal, { onWaiting, onSilent });
    metrics.lag.begins();
    try {
      await this.#follow(AbortSignal.any([signal, lead.lost]));
      if (!signal.aborted) lead.lost.throwIfAborted();
    } catch (error) {
      throw lead.lost.aborted && !signal.aborted ? lead.lost.reason : error;
    } finally {
      metrics.lag.ended();
      await lead.release();
      logger.info({}, 'capture ends');
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { source, resources, requests, rows, logger, health } = this.#options;
    const { metrics, problems, clock } = this.#options;
    const { stored: own } = await this.#admitted(signal);
    if (own?.slot === source.slot) await source.endReaders(signal);
    await source.prepare();
    const log = await resources.open();
    try {
      const destination = { log, resources, metrics, problems, clock };
      const start = await this.#begin(destination, signal);
      const following = new Following({ source, destination, requests, rows, logger, health }, start);
      await following.run(signal);
    } finally {
      await log.close();
    }
  }

  /** Loads if a load is needed. Returns the position from which to follow the stream. */
  async #begin(destination: FollowingOptions['destination'], signal: AbortSignal): Promise<Position> {
    const { source, requests, rows, newId, logger, onLoad, loadConnections: connections } = this.#options;
    const facts = await this.#admitted(signal); // again: the fenced capture may have stored another position
    const { stored, catalog } = facts;
    const timelines = await source.timelines();
    const coverage = source.coverageOf(catalog);
    const { mode, reason } = startOf({ ...facts, timelines, coverage });
    const at = { mode, lsn: stored && formatLsn(stored.lsn) };
    logger.info(at, `capture starts: ${mode}${mode === 'stream' ? '' : `, since ${reason}`}`);
    const origin = { systemId: catalog.systemId, timeline: timelines.current, coverage };
    if (mode === 'stream' && stored) {
      await requests.reloads.none();
      return { ...stored, ...origin };
    }
    const how = { mode: mode === 'stream' ? 'reload' : mode, stored, origin } as const;
    return load({ source, destination, requests, rows, connections, newId, logger, onLoad }, how, signal);
  }

  /** Throws `blocked`, before anything is changed, unless log, position and source belong together. */
  async #admitted(signal: AbortSignal): Promise<StartFacts & { readonly catalog: Catalog }> {
    const { source, resources, prefix } = this.#options;
    const catalog = await source.catalog();
    const stored = await resources.positions.read();
    const topics = await this.#topics(stored, signal);
    const facts = { stored, catalog, topics, prefix, slot: source.slot };
    const refusal = refusalOf(facts);
    if (refusal !== undefined) throw new HeadwaterError('blocked', refusal);
    if (stored?.pending === 'none') source.requireFollowed(catalog, stored.coverage);
    return facts;
  }

  /** A broker that has just restarted may not know a topic or its ends yet, so a difference counts only if it lasts. */
  async #topics(stored: Position | undefined, signal: AbortSignal): Promise<readonly TopicState[]> {
    const { resources, clock } = this.#options;
    const expected = stored?.pending === 'first-load' ? [] : (stored?.topics ?? []);
    for (const begun = clock(); ; await sleep(TOPICS_POLL, signal)) {
      const states = await resources.topics.states(expected.map(({ type }) => type));
      if (!topicDifference(expected, states) || clock() - begun > TOPICS_PATIENCE) return states;
    }
  }
}
