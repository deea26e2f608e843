import type { Pool } from 'pg';
import { sleep } from '../base/clock.ts';
import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import type { HealthReporter, Logger, Service } from '../base/service.ts';
import type { Codec } from '../events/schema-ids.ts';
import type { StatusEvent } from '../events/status.ts';
import type { LogReader, Partition, Publisher } from '../log/log.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { asking } from '../database/pool.ts';
import {
  endedFolders,
  expiredJobs,
  needlessFolders,
  overdueJobs,
  overdueRequests,
  parseFolder,
} from './due.ts';
import type { Overdue } from './due.ts';
import { FolderSweep } from './folder-sweep.ts';
import { databaseTime, stampUnknown } from './movement.ts';
import type { Outage } from './outage.ts';
import type { JobTables } from './schema.ts';

export interface JanitorOptions {
  readonly pool: Pool;
  readonly tables: JobTables;
  readonly store: Pick<ObjectStore, 'folders' | 'list' | 'deletePrefix'>;
  /** Folders in which jobs may have theirs, besides the root. */
  readonly containers: readonly string[];
  readonly reader: Pick<LogReader, 'ends' | 'offsetsAt' | 'read'>;
  readonly publisher: Publisher;
  readonly statusTopic: string;
  readonly progressTopic: string;
  readonly codec: Pick<Codec<StatusEvent>, 'encode'>;
  /** A planned job may be without progress for as long. */
  readonly jobDeadlineMs: number;
  /** A job may take as long, from its request on, also while it waits to be planned. */
  readonly maxExportMs: number;
  /** Files are kept for as long after their job's end. */
  readonly retentionMs: number;
  readonly outage: Outage;
  readonly logger: Logger;
  readonly health: HealthReporter;
  /** Between two rounds; how soon a cancelled job's files go. */
  readonly intervalMs?: number;
  /** Between two sweeps of one folder. */
  readonly sweepDelayMs?: number;
  /** Between two looks at every folder of the store. */
  readonly inventoryMs?: number;
  /** ms since 1970; by the clock of the database where nothing else is given. */
  readonly now?: () => Promise<number>;
}

const HOUR = 3_600_000;
/** Long enough for an event to come back by way of the projection. */
const ASK_AGAIN = 60_000;
/** A projection that is farther behind than this says nothing about who made progress. */
const FAR_BEHIND = 10_000;
const PAGE = 500;

/**
 * Ends what would hang, expires what is old, removes files nobody needs. It only appends events and deletes folders of ended
 * jobs, both of which may be done twice; so several may run, and a crash costs a round. The store (or its prefix) must
 * belong to this Headwater alone: folders without a job go after a day.
 */
export class Janitor implements Service {
  readonly name = 'janitor';
  readonly #options: JanitorOptions;
  readonly #sweep: FolderSweep;
  /** Jobs that were ended by an event of this janitor, and when; the projection may not know yet. */
  readonly #asked = new Map<string, number>();
  #lastInventory = -Infinity;

  constructor(options: JanitorOptions) {
    this.#options = options;
    const { store, logger, sweepDelayMs = 30_000 } = options;
    this.#sweep = new FolderSweep({ store, logger, delayMs: sweepDelayMs });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { pool, health, intervalMs = 2_000, outage } = this.#options;
    const { now: time = () => databaseTime(pool) } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#round(await time(), signal);
      } catch (error) {
        outage.notice();
        throw error;
      }
      health.ready();
      await sleep(intervalMs, signal);
    }
  }

  async #round(now: number, signal: AbortSignal): Promise<void> {
    const { pool, tables, reader, statusTopic, outage, inventoryMs = 600_000 } = this.#options;
    await reader.ends(statusTopic); // an outage of Kafka is noticed also when nothing is overdue
    outage.answered(now);
    await this.#failOverdue(now, signal);
    await this.#expire(now);
    if (now - this.#lastInventory >= inventoryMs) {
      await this.#inventory(now, signal);
      this.#lastInventory = now;
    }
    for (const folder of await endedFolders(pool, tables, now - HOUR)) this.#sweep.add(folder, now, false);
    await this.#sweep.run(now);
  }

  async #failOverdue(now: number, signal: AbortSignal): Promise<void> {
    const { pool, tables, jobDeadlineMs, maxExportMs, outage } = this.#options;
    await stampUnknown(pool, tables);
    const before = now - maxExportMs;
    const requests = await overdueRequests(pool, tables, before);
    const limits = { now, idleSince: now - jobDeadlineMs, acceptedBefore: before };
    const jobs = await overdueJobs(pool, tables, limits);
    const overdue = [...requests, ...jobs].filter(
      ({ jobId, reason }) =>
        !this.#askedLately(jobId, now) && !(reason === 'deadline' && outage.explainsIdleness(now)),
    );
    if (overdue.length === 0) return;
    const moving = await this.#unseenJobs(signal);
    if (moving === 'far-behind') return;
    await this.#append(
      overdue.filter(({ jobId }) => !moving.has(jobId)).map((job) => this.#failure(job, now)),
    );
  }

  #failure({ jobId, reason }: Overdue, at: number): StatusEvent {
    const { jobDeadlineMs, maxExportMs } = this.#options;
    const message =
      reason === 'deadline'
        ? `There was no progress for ${inWords(jobDeadlineMs)}.`
        : `It took longer than the ${inWords(maxExportMs)} an export may take.`;
    return { kind: 'ExportFailed', jobId, at, code: reason, message };
  }

  async #expire(now: number): Promise<void> {
    const { pool, tables, retentionMs } = this.#options;
    const ids = await expiredJobs(pool, tables, now - retentionMs);
    await this.#append(
      ids
        .filter((id) => !this.#askedLately(id, now))
        .map((jobId) => ({ kind: 'ExportExpired', jobId, at: now })),
    );
  }

  /** Finds what the quick look misses: ends from before the start, late writes, folders of no job. */
  async #inventory(now: number, signal: AbortSignal): Promise<void> {
    const { pool, tables, store } = this.#options;
    // Tables that were just made know no job yet, but the log does.
    const unseen = await this.#unseenJobs(signal);
    if (unseen === 'far-behind') return;
    let page: string[] = [];
    const flush = async (): Promise<void> => {
      for (const folder of await needlessFolders(pool, tables, page, now)) this.#sweep.add(folder, now, true);
      page = [];
    };
    for (const parent of [undefined, ...this.#options.containers]) {
      for await (const folder of store.folders(parent)) {
        signal.throwIfAborted();
        if (unseen.has(parseFolder(folder)?.jobId ?? '')) continue;
        if (page.push(folder) >= PAGE) await flush();
      }
    }
    await flush();
  }

  /** Jobs with events that the projection has not seen: whether they make progress is not known yet. */
  async #unseenJobs(signal: AbortSignal): Promise<ReadonlySet<string> | 'far-behind'> {
    const { tables, statusTopic, progressTopic } = this.#options;
    const jobs = new Set<string>();
    for (const [topic, offsets] of [
      [statusTopic, tables.offset],
      [progressTopic, tables.progressOffset],
    ] as const) {
      for (const unseen of await this.#unseen(topic, offsets)) {
        if (topic === statusTopic && unseen.to - unseen.from > FAR_BEHIND) return 'far-behind';
        for await (const records of this.#options.reader.read(unseen, signal))
          for (const { key } of records) jobs.add(key.toString());
      }
    }
    return jobs;
  }

  /** What the leading projector has not stored yet. */
  async #unseen(topic: string, offsets: string): Promise<(Partition & { from: Offset; to: Offset })[]> {
    const { pool, reader } = this.#options;
    const text = `SELECT partition, next FROM ${offsets}`;
    const { rows } = await asking(() => pool.query<{ partition: number; next: string }>(text));
    const seen = new Map(rows.map(({ partition, next }) => [partition, Number(next)]));
    const starts = await reader.offsetsAt(topic, 0); // old events are gone
    const parts = (await reader.ends(topic)).map((to, partition) => {
      const from = offset(Math.max(seen.get(partition) ?? 0, starts[partition] ?? 0));
      return { topic, partition, from, to };
    });
    return parts.filter(({ from, to }) => from < to);
  }

  async #append(events: readonly StatusEvent[]): Promise<void> {
    if (events.length === 0) return;
    const { publisher, statusTopic, codec, logger } = this.#options;
    await publisher.append(
      events.map((event) => ({ topic: statusTopic, key: event.jobId, value: codec.encode(event) })),
    );
    for (const event of events) {
      this.#asked.set(event.jobId, event.at);
      logger.info(
        { jobId: event.jobId, event: event.kind },
        event.kind === 'ExportExpired' ? 'export expired' : 'export is overdue',
      );
    }
  }

  #askedLately(jobId: string, now: number): boolean {
    for (const [id, at] of this.#asked) {
      if (at >= now - ASK_AGAIN) break; // in the order of time
      this.#asked.delete(id);
    }
    return this.#asked.has(jobId);
  }
}

function inWords(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  return minutes > 120 ? `${String(Math.round(minutes / 60))} hours` : `${String(minutes)} minutes`;
}
