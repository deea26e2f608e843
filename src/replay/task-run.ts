import type { Cohort } from '../cohort/cohort.ts';
import type { ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { CommandPlace, Task } from '../events/tasks.ts';
import type { References } from '../fhir/reference.ts';
import type { FileSet } from '../files/file-set.ts';
import type { LogReader } from '../log/log.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Selection } from './selection.ts';
import type { Shape } from './shape.ts';

export interface TaskContext {
  readonly reader: Pick<LogReader, 'readBackward' | 'topics'>;
  readonly store: ObjectStore;
  readonly codec: ResourceChangeCodec;
  readonly topicOf: (type: string) => string;
  readonly references: References;
  /** Whom the command of a job names. */
  readonly patientsOf: (jobId: string, place: CommandPlace) => Promise<readonly string[]>;
  /** Raw bytes of a file. */
  readonly fileBytes: number;
  /** Memory for organized output; what is usual when absent. */
  readonly blockBytes?: number;
  readonly signal: AbortSignal;
  /** 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

/** What the ways to run a task share. */
export interface TaskRun extends TaskContext {
  readonly task: Task;
  /** undefined = the whole system. */
  readonly cohort: Cohort | undefined;
  /** Offsets passed. */
  readonly onBatch: (offsets: number) => void;
  /** Opens the files of a type; they are ended, or removed, with the task. */
  readonly filesOf: (type: string) => FileSet;
  readonly selectionOf: (type: string) => Selection;
  /** Whether `_typeFilter` chooses among the resources of the type. */
  readonly isFiltered: (type: string) => boolean;
  /** What is made of a returned resource of the type. */
  readonly shapeOf: (type: string) => Shape;
}
