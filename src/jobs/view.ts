import type { ExportFile } from '../events/status.ts';
import { progressOf } from './job-record.ts';
import type { JobRecord } from './job-record.ts';
import type { JobView, SubmitRequest } from './job.ts';

export interface RequestFacts extends SubmitRequest {
  readonly jobId: string;
  /** ms since 1970. */
  readonly acceptedAt: number;
  readonly cancelRequested: boolean;
}

/** Joins a job's request with its folded status, if there is one. */
export function viewOf(request: RequestFacts, job: JobRecord | undefined): JobView {
  return {
    ...request,
    state: job?.state ?? 'accepted',
    endedAt: job?.endedAt,
    transactionTime: job?.plan?.transactionTime,
    epoch: job?.plan?.epoch,
    progress: job === undefined ? 0 : progressOf(job),
    files: job === undefined ? [] : filesOf(job),
    filesByTask: job === undefined ? [] : filesByTask(job),
    failure: job?.failure,
  };
}

/** Ordered by type, task and file number, in code-point order, which is the same on every machine. */
function filesOf(job: JobRecord): ExportFile[] {
  const tasks = [...job.tasks.values()].sort((a, b) => order(a.taskId, b.taskId));
  return tasks.flatMap((task) => task.files ?? []).sort((a, b) => order(a.type, b.type)); // sort is stable
}

function filesByTask(job: JobRecord): (readonly ExportFile[])[] {
  const tasks = [...job.tasks.values()].filter(({ place }) => place !== undefined);
  return tasks.sort((a, b) => (a.place ?? 0) - (b.place ?? 0)).map(({ files = [] }) => files);
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
