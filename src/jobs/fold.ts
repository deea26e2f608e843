import type { ExportFile, ExportPlanned, StatusEvent } from '../events/status.ts';
import type { ExportEventKind } from '../events/export-event.ts';
import type { JobState } from './job.ts';
import type { Lane } from '../events/tasks.ts';

/** A task that ends its worker this often, without a word, would do so forever. */
export const MAX_STARTS = 5;

export interface TaskRecord {
  readonly taskId: string;
  readonly lane: Lane;
  readonly plannedBytes: number;
  readonly starts: number;
  /** 0 to 1, never going back. */
  readonly fraction: number;
  /** Of a completed task; undefined before. */
  readonly files: readonly ExportFile[] | undefined;
  /** Of a completed task: how many of the job were completed before it. */
  readonly place: number | undefined;
}

export type PlanFacts = Omit<ExportPlanned, 'kind' | 'jobId' | 'at' | 'tasks'>;

/** What the log says of a job. There is none while a job waits to be planned. */
export interface JobRecord {
  readonly jobId: string;
  readonly state: Exclude<JobState, 'accepted'>;
  /** undefined only for a job that ended before it was planned. */
  readonly plan: PlanFacts | undefined;
  readonly tasks: ReadonlyMap<string, TaskRecord>;
  /** Work on a task was seen. */
  readonly started: boolean;
  /** Latest time of an event that changed anything; ms since 1970. */
  readonly activeAt: number;
  /** When it completed, failed or was cancelled; expiry leaves it. */
  readonly endedAt: number | undefined;
  readonly failure: { readonly code: string; readonly message: string } | undefined;
}

export interface Announcement {
  readonly kind: ExportEventKind;
  /** ms since 1970. */
  readonly at: number;
  /** Of `file-ready`. */
  readonly file?: ExportFile;
}

export interface Folded {
  /** The same object as before when the event changed nothing. */
  readonly job: JobRecord | undefined;
  readonly announcements: readonly Announcement[];
}

/**
 * A job is a fold of its status events. Pure, and total: any event may come at any time and any number of times.
 *
 *  #  state                event                          -> state      announced
 *  1  none                 ExportPlanned with tasks       -> running    accepted
 *  2  none                 ExportPlanned without tasks    -> completed  accepted, started, completed
 *  3  none                 ExportFailed                   -> failed     accepted, failed
 *  4  none                 ExportCancelled                -> cancelled  accepted, cancelled
 *  5  running              TaskStarted, up to MAX_STARTS  -> running    started, if it is the first sign of work
 *  6  running              TaskStarted, once more         -> failed     failed
 *  7  running              TaskProgressed, further        -> running    started, if it is the first sign of work
 *  8  running              TaskCompleted, others are left -> running    started as above; file-ready for each file
 *  9  running              TaskCompleted, the last        -> completed  as 8, then completed
 * 10  running              TaskFailed, ExportFailed       -> failed     failed
 * 11  running, completed   ExportCancelled                -> cancelled  cancelled
 * 12  completed, failed    ExportExpired                  -> expired    expired
 * 13  ended before its plan  ExportPlanned                -> same       none; what was planned is kept, for its files
 * 14  any                  anything else, also repeated   -> same       none
 *
 * Each announcement is tied to a transition that cannot happen twice, so none is made twice.
 */
export function fold(job: JobRecord | undefined, event: StatusEvent): Folded {
  if (job === undefined) return begin(event);
  switch (event.kind) {
    case 'ExportPlanned': // 13
      if (job.plan !== undefined) return same(job);
      return {
        job: {
          ...job,
          plan: factsOf(event),
          tasks: tasksOf(event),
          activeAt: Math.max(job.activeAt, event.at),
        },
        announcements: [],
      };
    case 'TaskStarted':
    case 'TaskProgressed':
    case 'TaskCompleted':
      return job.state === 'running' ? work(job, event) : same(job);
    case 'TaskFailed':
    case 'ExportFailed': // 10
      return job.state === 'running' ? fail(job, event.at, event) : same(job);
    case 'ExportCancelled': // 11
      if (job.state !== 'running' && job.state !== 'completed') return same(job);
      return end(job, 'cancelled', event.at);
    case 'ExportExpired': // 12
      if (job.state !== 'completed' && job.state !== 'failed') return same(job);
      return {
        job: { ...job, state: 'expired', activeAt: Math.max(job.activeAt, event.at) },
        announcements: [{ kind: 'expired', at: event.at }],
      };
  }
}

/** 0 to 1, by planned bytes. */
export function progressOf(job: JobRecord): number {
  const tasks = [...job.tasks.values()];
  if (tasks.length === 0) return job.plan === undefined ? 0 : 1;
  // A byte more for each, so that tasks estimated at nothing count as well.
  const total = tasks.reduce((bytes, task) => bytes + task.plannedBytes + 1, 0);
  const done = tasks.reduce((bytes, task) => bytes + task.fraction * (task.plannedBytes + 1), 0);
  return Math.min(1, done / total);
}

function begin(event: StatusEvent): Folded {
  const { jobId, at } = event;
  const base = { jobId, plan: undefined, tasks: new Map(), started: false, activeAt: at, endedAt: undefined };
  const none: JobRecord = { ...base, state: 'running', failure: undefined };
  switch (event.kind) {
    case 'ExportPlanned': {
      const job: JobRecord = { ...none, plan: factsOf(event), tasks: tasksOf(event) };
      if (job.tasks.size > 0) return accepted({ job, announcements: [] }, event.acceptedAt); // 1
      const completed = end({ ...job, started: true }, 'completed', at); // 2
      const announcements = [{ kind: 'started', at } as const, ...completed.announcements];
      return accepted({ ...completed, announcements }, event.acceptedAt);
    }
    case 'ExportFailed': // 3
      return accepted(fail(none, at, event), at);
    case 'ExportCancelled': // 4
      return accepted(end(none, 'cancelled', at), at);
    default: // 14: a plan comes before the work on it, so this is a job of another log
      return { job: undefined, announcements: [] };
  }
}

/** Every life cycle begins so, also one that ends without a plan. */
function accepted({ job, announcements }: Folded, at: number): Folded {
  return { job, announcements: [{ kind: 'accepted', at }, ...announcements] };
}

type Work = Extract<StatusEvent, { readonly kind: 'TaskStarted' | 'TaskProgressed' | 'TaskCompleted' }>;

function work(job: JobRecord, event: Work): Folded {
  const task = job.tasks.get(event.taskId);
  if (task === undefined || task.files !== undefined) return same(job);
  const changed = worked(job, task, event);
  if (changed === task) return same(job);
  const tasks = new Map(job.tasks).set(task.taskId, changed);
  const next: JobRecord = { ...job, tasks, started: true, activeAt: Math.max(job.activeAt, event.at) };
  const started: Announcement[] = job.started ? [] : [{ kind: 'started', at: event.at }];
  if (changed.starts > MAX_STARTS) {
    const message = `Task ${task.taskId} was started ${String(changed.starts)} times and never finished.`;
    return fail(next, event.at, { code: 'poison-task', message }); // 6
  }
  const files = (changed.files ?? []).map((file): Announcement => ({
    kind: 'file-ready',
    at: event.at,
    file,
  }));
  if ([...tasks.values()].some((other) => other.files === undefined)) {
    return { job: next, announcements: [...started, ...files] }; // 5, 7, 8
  }
  const completed = end(next, 'completed', event.at); // 9
  return { ...completed, announcements: [...started, ...files, ...completed.announcements] };
}

/** The same object when the event says nothing new. */
function worked(job: JobRecord, task: TaskRecord, event: Work): TaskRecord {
  switch (event.kind) {
    case 'TaskStarted':
      return { ...task, starts: task.starts + 1 };
    case 'TaskProgressed':
      return event.fraction > task.fraction ? { ...task, fraction: Math.min(1, event.fraction) } : task;
    case 'TaskCompleted':
      return {
        ...task,
        fraction: 1,
        files: event.files,
        place: [...job.tasks.values()].filter(({ files }) => files !== undefined).length,
      };
  }
}

function fail(
  job: JobRecord,
  at: number,
  { code, message }: { readonly code: string; readonly message: string },
): Folded {
  // Words from anywhere; jsonb takes neither NUL nor half a character.
  const failure = { code, message: message.replaceAll('\0', '').toWellFormed() };
  return end({ ...job, failure }, 'failed', at);
}

function end(job: JobRecord, state: 'completed' | 'failed' | 'cancelled', at: number): Folded {
  const activeAt = Math.max(job.activeAt, at);
  return { job: { ...job, state, activeAt, endedAt: activeAt }, announcements: [{ kind: state, at }] };
}

function same(job: JobRecord): Folded {
  return { job, announcements: [] };
}

function factsOf(event: ExportPlanned): PlanFacts {
  const { clientId, acceptedAt, requestUrl, parameters, folder, transactionTime, lsn, epoch } = event;
  const facts = { clientId, acceptedAt, requestUrl, parameters, folder, transactionTime, lsn };
  return epoch ? { ...facts, epoch } : facts;
}

function tasksOf(event: ExportPlanned): ReadonlyMap<string, TaskRecord> {
  const tasks = event.tasks.map((task): TaskRecord => ({
    ...task,
    starts: 0,
    fraction: 0,
    files: undefined,
    place: undefined,
  }));
  return new Map(tasks.map((task) => [task.taskId, task]));
}
