import { sleep } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { formatLsn } from '../base/positions.ts';
import type { Service } from '../base/service.ts';
import type { Position, TopicState } from '../events/position.ts';
import type { Catalog } from './catalog.ts';
import type { CaptureOptions } from './capture-options.ts';
import { Following } from './following.ts';
import { load } from './load.ts';
import { refusalOf, startOf } from './position.ts';
import type { StartFacts } from './position.ts';
import { topicDifference } from './topic-states.ts';

const TOPICS_POLL = 500;
const TOPICS_PATIENCE = 10_000;

/**
 * Role: follows the source's write-ahead log into the resource topics and gives each export request its cut.
 * Invariants: whole source transactions, in commit order, exactly once; a position is confirmed to PostgreSQL only when
 * Kafka has stored it; a cut never falls inside a source transaction.
 * A crash: the Kafka transaction is aborted when the next capture opens the log, which reads the stored position and goes on
 * from there. A source transaction that was too big for one Kafka transaction is then partly repeated, in order: its last
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
      health.ready(); // to stand by is to be well
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
    const { source, openLog, logger } = this.#options;
    const { stored: own } = await this.#admitted(signal);
    if (own?.slot === source.slot) await source.endReaders(signal);
    await source.prepare();
    const log = await openLog();
    try {
      const facts = await this.#admitted(signal); // as whoever was fenced left it
      const { stored, catalog } = facts;
      const timelines = await source.timelines();
      const coverage = source.coverageOf(catalog);
      const { mode, reason } = startOf({ ...facts, timelines, coverage });
      const at = { mode, lsn: stored && formatLsn(stored.lsn) };
      logger.info(at, `capture starts: ${mode}${mode === 'stream' ? '' : `, since ${reason}`}`);
      const origin = { systemId: catalog.systemId, timeline: timelines.current, coverage };
      const start =
        mode === 'stream' && stored
          ? { ...stored, ...origin }
          : await load({
              ...this.#options,
              log,
              origin,
              stored,
              mode: mode === 'stream' ? 'reload' : mode,
              signal,
            });
      await new Following(this.#options, log, start).run(signal);
    } finally {
      await log.close();
    }
  }

  /** What is stored, when log, position and source belong together. Throws `blocked` otherwise; nothing has been changed then. */
  async #admitted(signal: AbortSignal): Promise<StartFacts & { readonly catalog: Catalog }> {
    const { source, positions, prefix } = this.#options;
    const catalog = await source.catalog();
    const stored = await positions.read();
    const topics = await this.#topics(stored, signal);
    const facts = { stored, catalog, topics, prefix, slot: source.slot };
    const refusal = refusalOf(facts);
    if (refusal !== undefined) throw new HeadwaterError('blocked', refusal);
    return facts;
  }

  /** A broker that has just restarted may not know a topic yet, or not where it ends: a difference must last before it counts. */
  async #topics(stored: Position | undefined, signal: AbortSignal): Promise<readonly TopicState[]> {
    const { topics, clock } = this.#options;
    const expected = stored?.pending === 'first-load' ? [] : (stored?.topics ?? []);
    for (const begun = clock(); ; await sleep(TOPICS_POLL, signal)) {
      const states = await topics.states(expected.map(({ type }) => type));
      if (!topicDifference(expected, states) || clock() - begun > TOPICS_PATIENCE) return states;
    }
  }
}
