import type { Lsn, Stamp } from '../base/positions.ts';
import type { ExportParameters } from './request.ts';
import type { Lane } from './tasks.ts';

export type FileKind = 'output' | 'deleted' | 'error';

/** One finished file in the object store. */
export interface ExportFile {
  readonly kind: FileKind;
  /** Resource type of every line: of `output` the exported type, of `deleted` Bundle, of `error` OperationOutcome. */
  readonly type: string;
  /** Key in the object store: `<folder>/<name>`. */
  readonly key: string;
  /** Lines. */
  readonly count: number;
  /** Size as stored. */
  readonly bytes: number;
  /** SHA-256 of the stored bytes, hex. */
  readonly sha256: string;
}

interface StatusBase {
  readonly jobId: string;
  /** ms since 1970. */
  readonly at: number;
}

export interface ExportPlanned extends StatusBase {
  readonly kind: 'ExportPlanned';
  readonly clientId: string;
  readonly acceptedAt: number;
  readonly requestUrl: string;
  /** Without patients where they are many: the command has them. */
  readonly parameters: ExportParameters;
  readonly folder: string;
  readonly transactionTime: Stamp;
  readonly lsn: Lsn;
  /** Id of the log's epoch; absent or '' where the cut has none. */
  readonly epoch?: string;
  readonly tasks: readonly { readonly taskId: string; readonly lane: Lane; readonly plannedBytes: number }[];
}

/** The job could not be planned, or it ended for a reason that belongs to no task (a deadline, a bad request that was found late). */
export interface ExportFailed extends StatusBase {
  readonly kind: 'ExportFailed';
  readonly code: string;
  readonly message: string;
}

export interface ExportCancelled extends StatusBase {
  readonly kind: 'ExportCancelled';
}

/** The files of an ended job were due for removal. */
export interface ExportExpired extends StatusBase {
  readonly kind: 'ExportExpired';
}

export interface TaskStarted extends StatusBase {
  readonly kind: 'TaskStarted';
  readonly taskId: string;
  readonly worker: string;
}

/** In `headwater.progress`; in old logs also in `headwater.status`. */
export interface TaskProgressed extends StatusBase {
  readonly kind: 'TaskProgressed';
  readonly taskId: string;
  /** 0 to 1. */
  readonly fraction: number;
}

export interface TaskCompleted extends StatusBase {
  readonly kind: 'TaskCompleted';
  readonly taskId: string;
  readonly files: readonly ExportFile[];
}

/** The task has failed as often as allowed. This ends the job. */
export interface TaskFailed extends StatusBase {
  readonly kind: 'TaskFailed';
  readonly taskId: string;
  readonly code: string;
  readonly message: string;
}

/**
 * Every event of a job, in `headwater.status`, key = job id. After the request of a job, these events alone decide its state. Progress is
 * on a topic of its own, since it is not needed later.
 */
export type StatusEvent =
  | ExportPlanned
  | ExportFailed
  | ExportCancelled
  | ExportExpired
  | TaskStarted
  | TaskProgressed
  | TaskCompleted
  | TaskFailed;
