import type { ExportFile, ExportPlanned } from '../events/status.ts';
import type { Lane } from '../events/tasks.ts';
import type { JobState } from './job.ts';

export interface TaskRecord {
  readonly taskId: string;
  readonly lane: Lane;
  readonly plannedBytes: number;
  readonly starts: number;
  /** 0 to 1. Never decreases. */
  readonly fraction: number;
  /** undefined until the task is completed. */
  readonly files: readonly ExportFile[] | undefined;
  /** Number of the job's tasks that were completed earlier; undefined until this one is completed. */
  readonly place: number | undefined;
}

export type PlanFacts = Omit<ExportPlanned, 'kind' | 'jobId' | 'at' | 'tasks'>;

/** The state of a job as folded from the log. A job that waits to be planned has no record. */
export interface JobRecord {
  readonly jobId: string;
  readonly state: Exclude<JobState, 'accepted'>;
  /** undefined if the job ended before it was planned. */
  readonly plan: PlanFacts | undefined;
  readonly tasks: ReadonlyMap<string, TaskRecord>;
  /** An event reported work on a task. */
  readonly started: boolean;
  /** Latest time of an event that changed the record; ms since 1970. */
  readonly activeAt: number;
  /** Time at which it completed, failed or was cancelled; expiry does not change it. */
  readonly endedAt: number | undefined;
  readonly failure: { readonly code: string; readonly message: string } | undefined;
}

/** Progress from 0 to 1, weighted by planned bytes. */
export function progressOf(job: JobRecord): number {
  const tasks = [...job.tasks.values()];
  if (tasks.length === 0) return job.plan === undefined ? 0 : 1;
  // One more byte each, so that tasks with an estimate of 0 bytes count too.
  const total = tasks.reduce((bytes, task) => bytes + task.plannedBytes + 1, 0);
  const done = tasks.reduce((bytes, task) => bytes + task.fraction * (task.plannedBytes + 1), 0);
  return Math.min(1, done / total);
}

export function factsOf(event: ExportPlanned): PlanFacts {
  const { clientId, acceptedAt, requestUrl, parameters, folder, transactionTime, lsn, epoch } = event;
  const facts = { clientId, acceptedAt, requestUrl, parameters, folder, transactionTime, lsn };
  return epoch ? { ...facts, epoch } : facts;
}

export function tasksOf(event: ExportPlanned): ReadonlyMap<string, TaskRecord> {
  const tasks = event.tasks.map((task): TaskRecord => ({
    ...task,
    starts: 0,
    fraction: 0,
    files: undefined,
    place: undefined,
  }));
  return new Map(tasks.map((task) => [task.taskId, task]));
}
