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

/** What is shown of a job: its request, and the fold of its status once there is any. */
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

/** By type, then task, then file number; code-point order, the same wherever it is done. */
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
