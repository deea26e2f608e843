import type { Pool } from 'pg';
import { sleep } from '../base/clock.ts';
import { filesDeleted } from '../audit/entries.ts';
import type { HealthReporter, Logger, Service } from '../base/service.ts';
import type { Codec } from '../events/schema-ids.ts';
import type { StatusEvent } from '../events/status.ts';
import type { LogReader, Publisher } from '../log/log.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import {
  endedFolders,
  expiredJobs,
  needlessFolders,
  overdueJobs,
  overdueRequests,
  parseFolder,
  unfinishedBefore,
} from './due.ts';
import type { Overdue } from './due.ts';
import type { Audit } from './audit-trail.ts';
import { CompactionLag } from './compaction-lag.ts';
import type { CompactionLags } from './compaction-lag.ts';
import { CompletedFolders } from './completed-folders.ts';
import type { CompletedFoldersOptions } from './completed-folders.ts';
import { FolderSweep } from './folder-sweep.ts';
import { JobEnds } from './job-ends.ts';
import { databaseTime, stampUnknown } from './movement.ts';
import type { Outage } from './outage.ts';
import type { JobTables } from './schema.ts';
import { unseenJobs } from './unseen-jobs.ts';

/** How long a job and its files may last, in ms. */
export interface JobTimes {
  /** Longest time that a planned job may be without progress. */
  readonly deadlineMs: number;
  /** The setting HEADWATER_COMPACTION_LAG. */
  readonly compactionLagMs: number;
  /** Longest time from the request to the end, including the wait for a plan. */
  readonly maxExportMs: number;
  /** Time between the end of a job and the removal of its files. */
  readonly retentionMs: number;
}

/** Pauses between the janitor's repeated work, in ms. */
export interface JanitorPace {
  /** Between two rounds. A cancelled job's files go within this time. */
  readonly roundMs: number;
  /** Between two sweeps of one folder. */
  readonly sweepMs: number;
  /** Between two looks at the compaction lag of the log while an old export is unfinished; 30 times as much otherwise. */
  readonly lagMs: number;
  /** Between two looks at every folder of the store. */
  readonly inventoryMs: number;
}

export interface JanitorOptions {
  readonly pool: Pool;
  readonly tables: JobTables;
  readonly store: Pick<ObjectStore, 'create' | 'folders' | 'list' | 'deletePrefix'>;
  readonly manifest: CompletedFoldersOptions['manifest'];
  /** Folders that may hold folders of jobs, besides the root. */
  readonly containers: readonly string[];
  readonly reader: Pick<LogReader, 'ends' | 'offsetsAt' | 'read'>;
  readonly publisher: Publisher;
  readonly topics: { readonly status: string; readonly progress: string };
  readonly codec: Pick<Codec<StatusEvent>, 'encode'>;
  readonly times: JobTimes;
  readonly outage: Outage;
  readonly audit: Audit;
  readonly lags: CompactionLags;
  readonly logger: Logger;
  readonly health: HealthReporter;
  readonly pace?: JanitorPace;
  /** ms since 1970; the database's clock by default. */
  readonly now?: () => Promise<number>;
}

const HOUR = 3_600_000;
const PAGE = 500;
const PACE: JanitorPace = { roundMs: 2_000, sweepMs: 30_000, lagMs: 10_000, inventoryMs: 600_000 };

/**
 * Fails overdue jobs, expires old jobs, keeps the versions that unfinished ones need, marks the folders of completed jobs and removes files that no job needs. All of it may be repeated, so several janitors may run, and a crash costs one round. The store (or its prefix) must belong to
 * this Headwater alone: folders without a job are removed after a day.
 */
export class Janitor implements Service {
  readonly name = 'janitor';
  readonly #options: JanitorOptions;
  readonly #pace: JanitorPace;
  readonly #sweep: FolderSweep;
  readonly #ends: JobEnds;
  readonly #completed: CompletedFolders;
  readonly #lag: CompactionLag;
  #lastInventory = -Infinity;

  constructor(options: JanitorOptions) {
    const { store, logger, publisher, topics, codec, audit, pace = PACE } = options;
    this.#options = options;
    this.#pace = pace;
    const onRemoval = async (folder: string): Promise<void> => {
      const jobId = parseFolder(folder)?.jobId;
      if (jobId !== undefined) await audit.record(filesDeleted(jobId, folder));
    };
    this.#sweep = new FolderSweep({ store, logger, delayMs: pace.sweepMs, onRemoval });
    this.#completed = new CompletedFolders(options);
    this.#lag = new CompactionLag({ ...options, lagMs: options.times.compactionLagMs, lookMs: pace.lagMs });
    this.#ends = new JobEnds({ publisher, statusTopic: topics.status, codec, logger });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { pool, health, outage, now = () => databaseTime(pool) } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#round(await now(), signal);
      } catch (error) {
        outage.notice();
        throw error;
      }
      health.ready();
      await sleep(this.#pace.roundMs, signal);
    }
  }

  async #round(now: number, signal: AbortSignal): Promise<void> {
    const { pool, tables, reader, topics, outage } = this.#options;
    await reader.ends(topics.status); // notices an outage of Kafka even if no job is overdue
    outage.answered(now);
    await this.#lag.keep(now, (acceptedBefore) => this.#failCompacted(now, acceptedBefore));
    await this.#failOverdue(now, signal);
    await this.#expire(now);
    await this.#completed.run(signal);
    if (now - this.#lastInventory >= this.#pace.inventoryMs) {
      await this.#inventory(now, signal);
      this.#lastInventory = now;
    }
    for (const folder of await endedFolders(pool, tables, now - HOUR)) this.#sweep.add(folder, now, false);
    await this.#sweep.run(now);
  }

  async #failOverdue(now: number, signal: AbortSignal): Promise<void> {
    const { pool, tables, times, outage } = this.#options;
    await stampUnknown(pool, tables);
    const acceptedBefore = now - times.maxExportMs;
    const requests = await overdueRequests(pool, tables, acceptedBefore);
    const limits = { now, idleSince: now - times.deadlineMs, acceptedBefore };
    const jobs = await overdueJobs(pool, tables, limits);
    const overdue = [...requests, ...jobs].filter(
      ({ jobId, reason }) =>
        !this.#ends.endedLately(jobId, now) && !(reason === 'deadline' && outage.explainsIdleness(now)),
    );
    if (overdue.length === 0) return;
    const unseen = await unseenJobs(this.#options, signal);
    if (unseen === 'far-behind') return;
    await this.#ends.append(
      overdue
        .filter(({ jobId }) => !unseen.has(jobId))
        .map(({ jobId, reason }) => {
          const message = messageFor(reason, times);
          return { kind: 'ExportFailed', jobId, at: now, code: reason, message };
        }),
    );
  }

  /** Fails the exports that were accepted before the time. Unlike an overdue export, none of them may go on. */
  async #failCompacted(now: number, acceptedBefore: number): Promise<void> {
    const { pool, tables } = this.#options;
    const message =
      'The log may no longer hold versions that this export needs, because no janitor ran for a while; ask for it again.';
    for (const jobId of await unfinishedBefore(pool, tables, acceptedBefore))
      await this.#ends.append([{ kind: 'ExportFailed', jobId, at: now, code: 'gone', message }]);
  }

  async #expire(now: number): Promise<void> {
    const { pool, tables, times } = this.#options;
    const ids = await expiredJobs(pool, tables, { now, retentionMs: times.retentionMs });
    await this.#ends.append(
      ids
        .filter((id) => !this.#ends.endedLately(id, now))
        .map((jobId) => ({ kind: 'ExportExpired', jobId, at: now })),
    );
  }

  /** Finds the folders that `endedFolders` misses: of jobs that ended before the start, of late writes, of no job. */
  async #inventory(now: number, signal: AbortSignal): Promise<void> {
    const { pool, tables, store, containers } = this.#options;
    // New tables know no job yet, but the log does.
    const unseen = await unseenJobs(this.#options, signal);
    if (unseen === 'far-behind') return;
    let page: string[] = [];
    const flush = async (): Promise<void> => {
      for (const folder of await needlessFolders(pool, tables, page, now)) this.#sweep.add(folder, now, true);
      page = [];
    };
    for (const parent of [undefined, ...containers]) {
      for await (const folder of store.folders(parent)) {
        signal.throwIfAborted();
        if (unseen.has(parseFolder(folder)?.jobId ?? '')) continue;
        if (page.push(folder) >= PAGE) await flush();
      }
    }
    await flush();
  }
}

function messageFor(reason: Overdue['reason'], { deadlineMs, maxExportMs }: JobTimes): string {
  return reason === 'deadline'
    ? `There was no progress for ${inWords(deadlineMs)}.`
    : `It took longer than the ${inWords(maxExportMs)} an export may take.`;
}

function inWords(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  return minutes > 120 ? `${String(Math.round(minutes / 60))} hours` : `${String(minutes)} minutes`;
}
