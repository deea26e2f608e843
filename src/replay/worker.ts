import type { Clock } from '../base/clock.ts';
import { HeadwaterError, remedyFor } from '../base/errors.ts';
import type { HealthReporter, Logger, Service } from '../base/service.ts';
import { isJobId } from '../events/job-id.ts';
import type { Disclosed } from '../events/audit.ts';
import { failureOf } from '../events/failure.ts';
import type { ExportFile, StatusEvent } from '../events/status.ts';
import type { Lane, Task } from '../events/tasks.ts';
import type { NewRecord, Outcome, Publisher, QueuedRecord, WorkQueue } from '../log/log.ts';
import type { TaskResult } from './run-task.ts';
import type { TaskRunner } from './task-runner.ts';

/** The jobs that need no more work. */
export interface Ended {
  isEnded(jobId: string): boolean;
  /** Returns true if the task has an outcome. The offset of a zombie may be committed after its outcome. */
  isTaskDone(jobId: string, taskId: string): boolean;
  /** Fires when the job ends. */
  signalFor(jobId: string): AbortSignal;
}

export interface WorkerMetrics {
  taskStarted(lane: Lane): void;
  /** @param outcome `interrupted` when the attempt failed: it is repeated, or `taskFailed` follows */
  taskEnded(lane: Lane, outcome: 'completed' | 'interrupted' | 'dropped', files: readonly ExportFile[]): void;
  taskFailed(lane: Lane): void;
}

export interface WorkerOptions {
  readonly lane: Lane;
  readonly topic: string;
  readonly group: string;
  readonly queue: WorkQueue;
  readonly publisher: Publisher;
  readonly runner: TaskRunner;
  readonly concurrency: number;
  readonly ended: Ended;
  readonly decodeTask: (value: Buffer) => Promise<Task> | Task;
  /** Progress has a topic of its own. */
  readonly statusRecord: (event: StatusEvent) => NewRecord;
  /** Throws `unavailable` unless the log has kept every version since the cut of the task. */
  readonly requireVersions: (task: Task) => Promise<void>;
  readonly disclosedRecord: (disclosed: Disclosed) => NewRecord;
  readonly metrics: WorkerMetrics;
  readonly clock: Clock;
  /** Names this worker in status events. */
  readonly instance: string;
  readonly logger: Logger;
  readonly health: HealthReporter;
}

const PROGRESS_INTERVAL = 1_000;
/** The most tasks whose reported start a process remembers. A repeated task is usually one of the last. */
const MAX_STARTED = 10_000;

/**
 * Role: takes the tasks of one lane, replays them and appends the outcome of each, in one transaction with the offset of the task.
 * Invariant: files exist before the event that names them. A crash: the task comes again, here or elsewhere, and the
 * same bytes are written to the same names; a zombie that still runs it can only do that too.
 */
export class Worker implements Service {
  readonly name: string;
  readonly #options: WorkerOptions;
  /** Tasks whose start this process has reported. The process is alive, so a repetition here does not mean that the task kills workers. */
  readonly #started = new Set<string>();

  constructor(options: WorkerOptions) {
    this.name = `worker-${options.lane}`;
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { queue, topic, group, concurrency, health } = this.#options;
    await queue.run(
      {
        topics: [topic],
        group,
        concurrency,
        onAssigned: () => health.ready(),
        onTrouble: (error) => health.waiting?.(error),
        giveUp: (record, error) => this.#failure(record, error),
      },
      (record, s) => this.#handle(record, s),
      signal,
    );
  }

  async #handle(record: QueuedRecord, signal: AbortSignal): Promise<Outcome> {
    const { ended, metrics, lane, statusRecord, disclosedRecord, requireVersions, clock } = this.#options;
    const task = await this.#genuine(record);
    if (!task) return [];
    const { jobId, taskId } = task;
    if (ended.isEnded(jobId) || ended.isTaskDone(jobId, taskId)) return [];
    metrics.taskStarted(lane);
    try {
      await requireVersions(task);
      const { files, disclosed } = await this.#run(task, AbortSignal.any([signal, ended.signalFor(jobId)]));
      await requireVersions(task);
      metrics.taskEnded(lane, 'completed', files);
      return [
        statusRecord({ kind: 'TaskCompleted', jobId, taskId, files, at: clock() }),
        ...(disclosed ? [disclosedRecord({ jobId, taskId, ...disclosed })] : []),
      ];
    } catch (error) {
      const dropped = ended.isEnded(jobId);
      metrics.taskEnded(lane, dropped ? 'dropped' : 'interrupted', []);
      signal.throwIfAborted();
      if (dropped) return [];
      if (remedyFor(error) === 'retry') this.#tellWaiting(task);
      throw error;
    }
  }

  /** Returns undefined for a task that no planner of this installation has sealed. */
  async #genuine(record: QueuedRecord): Promise<Task | undefined> {
    const { decodeTask, logger } = this.#options;
    try {
      return await decodeTask(record.value);
    } catch (error) {
      if (!(error instanceof HeadwaterError) || error.code !== 'forbidden') throw error;
      logger.error({ key: record.key, err: error }, `a task is left out: ${error.message}`);
      return undefined;
    }
  }

  /** Reports that a server is away. The task is repeated as long as that lasts, and its job does not count as stuck. */
  #tellWaiting({ jobId, taskId }: Task): void {
    const event = { kind: 'TaskProgressed', jobId, taskId, fraction: 0, at: this.#options.clock() } as const;
    this.#tell(event).catch(() => undefined); // the server may be Kafka
  }

  /** Returns the events of a failed task; its key names it even if its value is unreadable. */
  #failure({ key }: QueuedRecord, error: unknown): Outcome {
    const { statusRecord, metrics, lane, clock, ended } = this.#options;
    const [jobId, taskId] = key.split('/');
    if (!isJobId(jobId) || taskId === undefined || ended.isEnded(jobId)) return [];
    metrics.taskFailed(lane);
    return [statusRecord({ kind: 'TaskFailed', jobId, taskId, ...failureOf(error), at: clock() })];
  }

  async #run(task: Task, signal: AbortSignal): Promise<TaskResult> {
    const { runner, logger, clock, instance } = this.#options;
    const { jobId, taskId } = task;
    const name = `${jobId}/${taskId}`;
    // Once in each process: a task that kills its workers has many starts.
    if (!this.#started.has(name))
      await this.#tell({ kind: 'TaskStarted', jobId, taskId, worker: instance, at: clock() });
    this.#remember(name);
    const started = clock();
    const result = await runner.run(task, signal, this.#progress(task));
    logger.info({ jobId, task: taskId, ms: clock() - started, files: result.files.length }, 'task completed');
    return result;
  }

  #remember(name: string): void {
    this.#started.delete(name);
    this.#started.add(name);
    const [oldest = name] = this.#started;
    if (this.#started.size > MAX_STARTED) this.#started.delete(oldest);
  }

  /** Reports progress from time to time. A lost event does no harm, because progress is only displayed. */
  #progress({ jobId, taskId }: Task): (fraction: number) => void {
    const { clock, logger } = this.#options;
    let reported = clock();
    return (fraction) => {
      const at = clock();
      if (at - reported < PROGRESS_INTERVAL) return;
      reported = at;
      this.#tell({ kind: 'TaskProgressed', jobId, taskId, fraction, at }).catch((error: unknown) => {
        logger.warn({ jobId, task: taskId, err: error }, 'progress was not reported');
      });
    };
  }

  async #tell(event: StatusEvent): Promise<void> {
    await this.#options.publisher.append([this.#options.statusRecord(event)]);
  }
}
