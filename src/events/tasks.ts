import type { Offset, Stamp } from '../base/positions.ts';
import type { OutputFormat } from './request.ts';

/** Small tasks must never wait behind large ones, so they have a topic and a reader of their own. */
export type Lane = 'quick' | 'bulk';

/** A half-open range [from, to) of one partition of one resource type's topic. */
export interface TaskRange {
  readonly type: string;
  readonly partition: number;
  readonly from: Offset;
  readonly to: Offset;
}

export interface TaskFilter {
  /** Only what has a greater stamp; undefined = everything, and deletes are not reported. */
  readonly since: Stamp | undefined;
}

/** A pure function of an immutable part of the log: whoever runs it, however often, writes the same bytes to the same names. */
export interface Task {
  readonly jobId: string;
  /** Unique in the job, `0001` and up; part of the file names. */
  readonly taskId: string;
  readonly lane: Lane;
  /** Folder of the job's files in the object store. */
  readonly folder: string;
  readonly outputFormat: OutputFormat;
  /** Ordered by type, then partition. */
  readonly ranges: readonly TaskRange[];
  readonly filter: TaskFilter;
  /** Estimated bytes of the ranges. */
  readonly plannedBytes: number;
}
