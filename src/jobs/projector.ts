import { sleep } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import { Lead } from '../database/lead.ts';
import type { HealthReporter, Logger, Service } from '../base/service.ts';
import type { LogReader } from '../log/log.ts';
import type { Announcer } from './announcer.ts';
import { forgetJobs } from './history.ts';
import { forgetMovement, stampMoved } from './movement.ts';
import { followProgress } from './progress.ts';
import { Projection } from './projection.ts';
import type { ProjectionOptions } from './projection.ts';
import type { JobTables } from './schema.ts';
import { together } from './together.ts';

/** ms between two searches for old jobs, and between two batches of them. */
const FORGET_INTERVAL = 600_000;
const FORGET_PAUSE = 200;

/** Name of the lock that the only writer of these tables holds. */
export function leadName({ schema }: JobTables): string {
  return `headwater lead ${schema}`;
}

export interface ProjectorOptions extends ProjectionOptions {
  readonly databaseUrl: string;
  readonly reader: Pick<LogReader, 'ends' | 'follow' | 'offsetsAt'>;
  readonly statusTopic: string;
  readonly progressTopic: string;
  /** ms; jobs without files are forgotten this long after their last event. */
  readonly historyMs: number;
  readonly clock: Clock;
  /** One instance for each run. */
  readonly announcer: Announcer;
  readonly logger: Logger;
  readonly health: HealthReporter;
  /** Called after each transaction with the position it reached, for metrics. */
  readonly onApplied?: (applied: {
    readonly partition: number;
    readonly next: Offset;
    readonly events: number;
  }) => void;
}

/**
 * Folds status events into the job tables and announcements. The instance that holds the leader's lock works; the others wait.
 * Events, announcements and offsets are one database transaction: a crash loses nothing and repeats nothing.
 */
export class Projector implements Service {
  readonly name = 'projector';
  readonly #options: ProjectorOptions;

  constructor(options: ProjectorOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { databaseUrl, tables, health, logger } = this.#options;
    const onWaiting = (): void => {
      logger.info({ service: this.name }, 'another projector leads; waiting');
      health.ready(); // a standby is healthy
    };
    const onSilent = ({ pid }: { readonly pid: number }): void =>
      logger.warn({ service: this.name, pid }, 'the projector that leads is silent; its session was ended');
    const leader = await Lead.acquire(
      { url: databaseUrl, name: leadName(tables), onWaiting, onSilent },
      signal,
    );
    try {
      await this.#lead(leader, AbortSignal.any([signal, leader.lost]));
    } catch (error) {
      signal.throwIfAborted();
      leader.lost.throwIfAborted(); // the cause, not its consequence
      throw error;
    } finally {
      await leader.release();
    }
  }

  async #lead(leader: Lead, signal: AbortSignal): Promise<void> {
    const { reader, statusTopic, announcer, health } = this.#options;
    const projection = new Projection(this.#options);
    const partitions = await reader.ends(statusTopic);
    if (partitions.length === 0) {
      throw new HeadwaterError(
        'unavailable',
        `Kafka has no topic ${statusTopic}; "headwater topics" makes it`,
      );
    }
    const starts = await reader.offsetsAt(statusTopic, 0); // retention may have removed the first events
    const stored = await leader.transaction((client) => projection.offsets(client));
    const follow = partitions.map(
      (_, partition) => (all: AbortSignal) =>
        this.#follow(
          { leader, projection, partition, from: stored.get(partition) ?? starts[partition] },
          all,
        ),
    );
    await together(
      [
        ...follow,
        (all) => announcer.run(leader, all, () => health.ready()), // not ready until the announcer may write
        (all) => followProgress(leader, this.#options, all),
        (all) => this.#forget(leader, all),
      ],
      signal,
    );
  }

  /** Deletes old jobs, one batch in a transaction, so that events do not wait long. */
  async #forget(leader: Lead, signal: AbortSignal): Promise<void> {
    const { tables, historyMs, clock, logger } = this.#options;
    while (!signal.aborted) {
      const { forgotten, last } = await leader.transaction((client) =>
        forgetJobs(client, tables, clock() - historyMs),
      );
      if (forgotten > 0) logger.info({ service: this.name, jobs: forgotten }, 'old jobs are forgotten');
      if (last) await leader.transaction((client) => forgetMovement(client, tables));
      await sleep(last ? FORGET_INTERVAL : FORGET_PAUSE, signal);
    }
  }

  async #follow(
    part: {
      readonly leader: Lead;
      readonly projection: Projection;
      readonly partition: number;
      readonly from: Offset | undefined;
    },
    signal: AbortSignal,
  ): Promise<void> {
    const { reader, statusTopic, announcer, onApplied } = this.#options;
    const { leader, projection, partition } = part;
    const from = { topic: statusTopic, partition, offset: part.from ?? offset(0) };
    for await (const records of reader.follow(from, signal)) {
      const announcements = await leader.transaction(async (client) => {
        const count = await projection.apply(client, partition, records);
        const jobIds = records.map(({ key }) => key.toString());
        await stampMoved(client, this.#options.tables, jobIds);
        return count;
      });
      if (announcements > 0) announcer.wake();
      const last = records.at(-1);
      if (last) onApplied?.({ partition, next: offset(last.offset + 1), events: records.length });
    }
    signal.throwIfAborted();
    throw new HeadwaterError('unavailable', `reading ${statusTopic}/${String(partition)} ended`);
  }
}
