import { backoff, sleep } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import { HeadwaterError, isAbort, messageOf } from '../base/errors.ts';
import type { HealthReporter, Logger, Service } from '../base/service.ts';
import type { ExportFile, StatusEvent } from '../events/status.ts';
import type { Lane, Task } from '../events/tasks.ts';
import type { NewRecord, Outcome, Publisher, QueuedRecord, WorkQueue } from '../log/log.ts';
import type { TaskRunner } from './task-runner.ts';

/** Which jobs need no more work. */
export interface Ended {
  isEnded(jobId: string): boolean;
  /** A zombie's offset may come after its outcome. */
  isTaskDone(jobId: string, taskId: string): boolean;
  /** Fires when the job ends. */
  signalFor(jobId: string): AbortSignal;
}

export interface WorkerMetrics {
  taskStarted(lane: Lane): void;
  taskEnded(lane: Lane, outcome: 'completed' | 'failed' | 'dropped', files: readonly ExportFile[]): void;
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
  readonly statusRecord: (event: StatusEvent) => NewRecord;
  readonly metrics: WorkerMetrics;
  readonly clock: Clock;
  /** Names this worker in status events. */
  readonly instance: string;
  readonly logger: Logger;
  readonly health: HealthReporter;
}

const ATTEMPTS = 4;
const PROGRESS_INTERVAL = 1_000;

/**
 * Role: takes tasks of one lane, replays them and appends what came of each, in one transaction with the task's offset.
 * Invariant: files exist before the event that tells of them. A crash: the task comes again, here or elsewhere, and the
 * same bytes are written to the same names; a zombie that still runs it can only do that too.
 */
export class Worker implements Service {
  readonly name: string;
  readonly #options: WorkerOptions;

  constructor(options: WorkerOptions) {
    this.name = `worker-${options.lane}`;
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { queue, topic, group, concurrency, health } = this.#options;
    const onAssigned = (): void => health.ready();
    await queue.run(
      { topics: [topic], group, concurrency, onAssigned },
      (record, s) => this.#handle(record, s),
      signal,
    );
  }

  async #handle(record: QueuedRecord, signal: AbortSignal): Promise<Outcome> {
    const { decodeTask, ended, metrics, lane, statusRecord, clock } = this.#options;
    const task = await decodeTask(record.value);
    const { jobId, taskId } = task;
    if (ended.isEnded(jobId) || ended.isTaskDone(jobId, taskId)) return [];
    const stop = AbortSignal.any([signal, ended.signalFor(jobId)]);
    metrics.taskStarted(lane);
    try {
      const files = await this.#attempts(task, stop);
      metrics.taskEnded(lane, 'completed', files);
      return [statusRecord({ kind: 'TaskCompleted', jobId, taskId, files, at: clock() })];
    } catch (error) {
      signal.throwIfAborted();
      if (ended.isEnded(jobId)) {
        metrics.taskEnded(lane, 'dropped', []);
        return [];
      }
      metrics.taskEnded(lane, 'failed', []);
      const code = error instanceof HeadwaterError ? error.code : 'internal';
      return [
        statusRecord({ kind: 'TaskFailed', jobId, taskId, code, message: messageOf(error), at: clock() }),
      ];
    }
  }

  async #attempts(task: Task, signal: AbortSignal): Promise<readonly ExportFile[]> {
    const { runner, logger, clock, instance } = this.#options;
    const { jobId, taskId } = task;
    // Once a delivery: a task that kills its worker is known by its starts.
    await this.#tell({ kind: 'TaskStarted', jobId, taskId, worker: instance, at: clock() });
    for (let attempt = 1; ; attempt++) {
      const started = clock();
      try {
        const files = await runner.run(task, signal, this.#progress(task));
        logger.info({ jobId, task: taskId, ms: clock() - started, files: files.length }, 'task completed');
        return files;
      } catch (error) {
        const again = attempt < ATTEMPTS && (!(error instanceof HeadwaterError) || error.retryable);
        if (isAbort(error, signal) || !again) throw error;
        logger.warn(
          { jobId, task: taskId, attempt, err: error },
          `task failed and is tried again: ${messageOf(error)}`,
        );
        await sleep(backoff(attempt, Math.random, 500), signal);
      }
    }
  }

  /** Tells of progress now and then. An event that is lost costs nothing but a number on a screen. */
  #progress({ jobId, taskId }: Task): (fraction: number) => void {
    const { clock, logger } = this.#options;
    let told = clock();
    return (fraction) => {
      const at = clock();
      if (at - told < PROGRESS_INTERVAL) return;
      told = at;
      this.#tell({ kind: 'TaskProgressed', jobId, taskId, fraction, at }).catch((error: unknown) => {
        logger.warn({ jobId, task: taskId, err: error }, 'progress was not told');
      });
    };
  }

  async #tell(event: StatusEvent): Promise<void> {
    await this.#options.publisher.append([this.#options.statusRecord(event)]);
  }
}
