import type { DisclosedPatients } from '../events/audit.ts';
import type { ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { DeidentifierSource } from '../deidentify/source.ts';
import type { CommandPlace, Task } from '../events/tasks.ts';
import type { References } from '../fhir/reference.ts';
import type { LogReader } from '../log/log.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Rename } from './deidentified.ts';
import { Selection } from './selection.ts';
import type { Population } from './selection.ts';
import type { Shape } from './shape.ts';
import type { TaskFiles } from './task-files.ts';

/** The resource topics, with the tools to read their records. */
export interface ResourceReading {
  readonly reader: Pick<LogReader, 'readBackward' | 'topics'>;
  readonly topicOf: (type: string) => string;
  readonly codec: ResourceChangeCodec;
}

/** The servers and settings that a process runs its tasks with. */
export interface TaskTools {
  readonly log: ResourceReading;
  readonly store: ObjectStore;
  readonly references: References;
  /** Returns the patients that the command of a job names. */
  readonly patientsOf: (
    jobId: string,
    place: CommandPlace,
    signal: AbortSignal,
  ) => Promise<readonly string[]>;
  /** Raw bytes of a file. */
  readonly fileBytes: number;
  /** The configurations that de-identify, with their keys. */
  readonly deidentification?: readonly DeidentifierSource[] | undefined;
  /** The folder of keys for redactions; undefined if there is none. */
  readonly keysFolder?: string | undefined;
  /** Memory for organized output, in bytes. */
  readonly blockBytes?: number;
}

/** One attempt to run a task: its place between the log and the files. */
export interface TaskRun {
  readonly task: Task;
  readonly population: Population;
  readonly log: ResourceReading;
  readonly references: References;
  readonly files: TaskFiles;
  /** Returns how to shape the returned resources of a type. */
  readonly shapeOf: (type: string) => Shape;
  /** Returns the patients whose data was written so far; undefined if there are none. */
  readonly disclosed: () => DisclosedPatients | undefined;
  /** De-identifies the lines that report a resource, with its key; undefined if they stay as they are. */
  readonly rename: Rename | undefined;
  /** Called with the number of offsets that were passed. */
  readonly onBatch: (offsets: number) => void;
  readonly signal: AbortSignal;
}

/** Whether `_typeFilter` chooses among the resources of the type. */
export function isFiltered({ filter }: Task, type: string): boolean {
  return filter.typeFilters.some((query) => query.startsWith(`${type}?`));
}

export function selectionOf({ task, population }: TaskRun, type: string): Selection {
  return Selection.of(task.filter, population, type, isFiltered(task, type));
}

/** Whether the selection of a type has to know the patients of its resources. */
export function isByPatients({ cohort, rights }: Population, type: string): boolean {
  return cohort !== undefined || rights(type) !== undefined;
}
