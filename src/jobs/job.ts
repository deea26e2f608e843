import type { AuditAgent } from '../events/audit.ts';
import type { Stamp } from '../base/positions.ts';
import type { Grant } from '../events/grant.ts';
import type { ExportParameters, JobLimitsOfRole } from '../events/request.ts';
import type { ExportFile } from '../events/status.ts';

/** `accepted`: requested, not yet planned. The last four are ends; only completed -> cancelled, completed -> expired and failed -> expired follow. */
export type JobState = 'accepted' | 'running' | 'completed' | 'failed' | 'cancelled' | 'expired';

export interface JobFailure {
  readonly code: string;
  readonly message: string;
}

/** The part of a job that its client may see: a row of the projection joined with its request. */
export interface JobView {
  readonly jobId: string;
  readonly clientId: string;
  readonly requestUrl: string;
  /** Without its patients: there may be a hundred thousand, and nothing here reads them. */
  readonly parameters: ExportParameters;
  readonly state: JobState;
  /** A cancel was accepted. Work may still go on, but for the client the job is gone. */
  readonly cancelRequested: boolean;
  /** ms since 1970. */
  readonly acceptedAt: number;
  readonly endedAt: number | undefined;
  /** ms that its files are kept, if the roles of its client say so. */
  readonly retentionMs?: number | undefined;
  /** The cut's time; undefined while accepted. */
  readonly transactionTime: Stamp | undefined;
  /** Id of the log's epoch; absent or '' if unknown. */
  readonly epoch?: string | undefined;
  /** 0 to 1, by bytes. */
  readonly progress: number;
  /** Files of completed tasks, ordered by type, task and file number. */
  readonly files: readonly ExportFile[];
  /** The same files by task, in the order in which the tasks were completed. */
  readonly filesByTask: readonly (readonly ExportFile[])[];
  readonly failure: JobFailure | undefined;
}

export interface SubmitRequest {
  readonly clientId: string;
  readonly requestUrl: string;
  readonly parameters: ExportParameters;
  /** The rights of the client; undefined in an open server. */
  readonly grant?: Grant | undefined;
  /** For the audit log; the client's id if absent. */
  readonly agent?: AuditAgent | undefined;
  readonly limits?: JobLimitsOfRole | undefined;
}

/** Port of the gateway to jobs. Every method is one database transaction and throws `unavailable` if the database is away. */
export interface Jobs {
  /**
   * Inserts the request, with its entry for the audit log, and emits it into the write-ahead log. Returns the new job's id.
   * Throws `too-many` if the client, or all clients together, have reached their limit of unfinished jobs, or the client its limit of a day.
   */
  submit(request: SubmitRequest): Promise<string>;
  /**
   * Waits until the job has a plan, at most `waitMs`. Returns the reason if the job was refused because the log does not hold
   * something that the client named. Returns undefined if the job has not been refused.
   */
  refusal(jobId: string, waitMs: number): Promise<JobFailure | undefined>;
  /** Whether clients may download the job's files: the job exists, was not cancelled and has not expired. */
  hasFiles(jobId: string): Promise<boolean>;
  /** undefined if there is no such job, or if it belongs to another client. */
  find(jobId: string, clientId: string): Promise<JobView | undefined>;
  /**
   * Returns the rights with which the client exported as of a time (ms since 1970, the `transactionTime` of that export), or
   * undefined if it is not known here.
   */
  grantAsOf(clientId: string, transactionTime: number): Promise<Grant | undefined>;
  /** Returns false if this client has no such job, or if it was cancelled or expired before. */
  cancel(jobId: string, clientId: string, agent?: AuditAgent): Promise<boolean>;
}
