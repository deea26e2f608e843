import type { Clock } from '../base/clock.ts';
import type { Service } from '../base/service.ts';
import type { Offset } from '../base/positions.ts';
import type { LogReader, StoredRecord } from '../log/log.ts';
import { fold } from './fold.ts';
import type { JobRecord } from './job-record.ts';
import { readStatus } from './read-status.ts';
import type { StatusReading } from './read-status.ts';
import { together } from './together.ts';

export interface EndedJobsOptions extends StatusReading {
  readonly reader: Pick<LogReader, 'offsetsAt' | 'ends' | 'read' | 'follow'>;
  readonly statusTopic: string;
  readonly clock: Clock;
  /** Longest time of an export. Older jobs are forgotten. */
  readonly maxExportMs: number;
  /** Maximum number of jobs in memory. */
  readonly maxJobs?: number;
}

const ENDED = new Set<JobRecord['state']>(['failed', 'cancelled', 'expired']);
const MAX_JOBS = 50_000;

/**
 * Knows which jobs have ended and which tasks are done, so that workers do no work for them. It applies the projector's fold to
 * the log itself and needs no database. A crash loses nothing: the next start reads the log again.
 */
export class EndedJobs implements Service {
  readonly name = 'ended-jobs';
  /** Resolves when the part of the log that existed at the start has been read. */
  readonly ready: Promise<void>;
  readonly #options: EndedJobsOptions;
  /** Least recently changed first. */
  readonly #jobs = new Map<string, JobRecord>();
  /** Controllers of the signals that `signalFor` returned. */
  readonly #stops = new Map<string, AbortController>();
  #becomeReady: () => void = () => undefined;

  constructor(options: EndedJobsOptions) {
    this.#options = options;
    this.ready = new Promise((resolve) => (this.#becomeReady = resolve));
  }

  /** Whether the job failed, was cancelled or expired. Its tasks must not run. */
  isEnded(jobId: string): boolean {
    const job = this.#jobs.get(jobId);
    return job !== undefined && ENDED.has(job.state);
  }

  /** Whether any worker has completed the task. */
  isTaskDone(jobId: string, taskId: string): boolean {
    const job = this.#jobs.get(jobId);
    return job?.state === 'completed' || job?.tasks.get(taskId)?.files !== undefined;
  }

  /** Fires when the job ends without completing. */
  signalFor(jobId: string): AbortSignal {
    if (this.isEnded(jobId)) return AbortSignal.abort();
    if (this.#jobs.get(jobId)?.state === 'completed') return new AbortController().signal;
    let stop = this.#stops.get(jobId);
    if (!stop) this.#stops.set(jobId, (stop = new AbortController()));
    return stop.signal;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { reader, statusTopic, clock, maxExportMs } = this.#options;
    const starts = await reader.offsetsAt(statusTopic, Math.max(0, clock() - maxExportMs));
    const ends = await reader.ends(statusTopic);
    const parts = starts.map((from, partition) => ({
      topic: statusTopic,
      partition,
      from,
      to: ends[partition] ?? from,
    }));
    for (const part of parts) {
      for await (const records of reader.read(part, signal)) await this.#take(part.partition, records);
    }
    this.#becomeReady();
    await together(
      parts.map((part) => (all) => this.#follow(part, all)),
      signal,
    );
  }

  async #follow(part: { topic: string; partition: number; to: Offset }, signal: AbortSignal): Promise<void> {
    const from = { topic: part.topic, partition: part.partition, offset: part.to };
    for await (const records of this.#options.reader.follow(from, signal))
      await this.#take(part.partition, records);
  }

  async #take(partition: number, records: readonly StoredRecord[]): Promise<void> {
    for (const record of records) {
      const event = await readStatus(this.#options, partition, record);
      if (!event) continue;
      const before = this.#jobs.get(event.jobId);
      const { job } = fold(before, event);
      if (job === undefined || job === before) continue;
      this.#jobs.delete(job.jobId);
      this.#jobs.set(job.jobId, job.state === 'running' ? withoutFiles(job) : { ...job, tasks: new Map() });
      if (job.state !== 'running') this.#stop(job);
    }
    this.#forget();
  }

  #stop(job: JobRecord): void {
    if (ENDED.has(job.state)) this.#stops.get(job.jobId)?.abort();
    this.#stops.delete(job.jobId);
  }

  #forget(): void {
    const { clock, maxExportMs, maxJobs = MAX_JOBS } = this.#options;
    const oldest = clock() - maxExportMs;
    for (const [jobId, job] of this.#jobs) {
      if (job.activeAt >= oldest && this.#jobs.size <= maxJobs) return;
      this.#jobs.delete(jobId);
      this.#stops.delete(jobId);
    }
  }
}

/** Drops the names and checksums of files: nothing here reads them, and there may be many. */
function withoutFiles(job: JobRecord): JobRecord {
  const tasks = [...job.tasks].map(
    ([id, task]) => [id, task.files === undefined ? task : { ...task, files: [] }] as const,
  );
  return { ...job, tasks: new Map(tasks) };
}
