import type { Stamp } from '../base/positions.ts';
import type { ExportParameters } from '../events/request.ts';
import type { ExportFile } from '../events/status.ts';

/** `accepted`: requested, not yet planned. The last four are ends; only completed -> cancelled, completed -> expired and failed -> expired follow. */
export type JobState = 'accepted' | 'running' | 'completed' | 'failed' | 'cancelled' | 'expired';

export interface JobFailure {
  readonly code: string;
  readonly message: string;
}

/** What a client may know of a job; a row of the projection joined with its request. */
export interface JobView {
  readonly jobId: string;
  readonly clientId: string;
  readonly requestUrl: string;
  /** Without its patients, which may be a hundred thousand: nobody looks at them here. */
  readonly parameters: ExportParameters;
  readonly state: JobState;
  /** A cancel was accepted, though perhaps not yet carried out: to the client the job is gone. */
  readonly cancelRequested: boolean;
  /** ms since 1970. */
  readonly acceptedAt: number;
  readonly endedAt: number | undefined;
  /** The cut's time; undefined while accepted. */
  readonly transactionTime: Stamp | undefined;
  /** Id of the log's epoch; absent or '' when it is not known. */
  readonly epoch?: string | undefined;
  /** 0 to 1, by bytes. */
  readonly progress: number;
  /** In the order of type, task, file number; only those of completed tasks. */
  readonly files: readonly ExportFile[];
  /** The same files by task, in the order in which the tasks were completed. */
  readonly filesByTask: readonly (readonly ExportFile[])[];
  readonly failure: JobFailure | undefined;
}

export interface SubmitRequest {
  readonly clientId: string;
  readonly requestUrl: string;
  readonly parameters: ExportParameters;
}

/** Port of the gateway to jobs. Every method is one database transaction; throws `unavailable` when the database is away. */
export interface Jobs {
  /**
   * Inserts the request and emits it into the write-ahead log; nothing else. Returns the new job's id.
   * Throws `too-many` when the client or all clients together have as many unfinished jobs as allowed.
   */
  submit(request: SubmitRequest): Promise<string>;
  /**
   * Waits until the job has a plan, for so many ms at most. Returns why it was refused: what the client named is not in the log;
   * undefined when it was not refused so far.
   */
  refusal(jobId: string, waitMs: number): Promise<JobFailure | undefined>;
  /** Whether its files may be fetched: it exists, was not cancelled and has not expired. */
  hasFiles(jobId: string): Promise<boolean>;
  /** undefined when there is no such job, or it is another client's. */
  find(jobId: string, clientId: string): Promise<JobView | undefined>;
  /** False when there is no such job of this client, or it was cancelled or expired before. */
  cancel(jobId: string, clientId: string): Promise<boolean>;
}
