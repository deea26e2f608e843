import type { ExportEventKind } from '../events/export-event.ts';
import type { ExportFile, StatusEvent } from '../events/status.ts';
import { factsOf, tasksOf } from './job-record.ts';
import type { JobRecord, TaskRecord } from './job-record.ts';

/** If a task was started this often and never finished, the next start would end its worker too. */
export const MAX_STARTS = 5;

export interface Announcement {
  readonly kind: ExportEventKind;
  /** ms since 1970. */
  readonly at: number;
  /** Set for `file-ready`. */
  readonly file?: ExportFile;
}

export interface Folded {
  /** The same object as before if the event changed nothing. */
  readonly job: JobRecord | undefined;
  readonly announcements: readonly Announcement[];
}

/**
 * A job is a fold of its status events. It is pure and total: any event may come at any time, any number of times.
 *
 *  #  state                event                          -> state      announced
 *  1  none                 ExportPlanned with tasks       -> running    accepted
 *  2  none                 ExportPlanned without tasks    -> completed  accepted, started, completed
 *  3  none                 ExportFailed                   -> failed     accepted, failed
 *  4  none                 ExportCancelled                -> cancelled  accepted, cancelled
 *  5  running              TaskStarted, up to MAX_STARTS  -> running    started, if this is the first work on the job
 *  6  running              TaskStarted, once more         -> failed     failed
 *  7  running              TaskProgressed, further        -> running    started, if this is the first work on the job
 *  8  running              TaskCompleted, others are left -> running    started as above; file-ready for each file
 *  9  running              TaskCompleted, the last        -> completed  as 8, then completed
 * 10  running              TaskFailed, ExportFailed       -> failed     failed
 * 11  running, completed   ExportCancelled                -> cancelled  cancelled
 * 12  completed, failed    ExportExpired                  -> expired    expired
 * 13  ended before its plan  ExportPlanned                -> same       none; the plan is kept, so that its files can be removed
 * 14  any                  anything else, also repeated   -> same       none
 *
 * Each announcement belongs to a transition that can happen only once, so no announcement is made twice.
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
    default: // 14: a plan precedes its work, so this job belongs to another log
      return { job: undefined, announcements: [] };
  }
}

/** Every job is announced as accepted first, even if it ends without a plan. */
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

/** Returns the same object if the event changes nothing. */
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
  // The message can hold any text; jsonb accepts neither NUL nor half a surrogate pair.
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
