import type { Offset, Stamp } from '../base/positions.ts';
import type { Grant } from './grant.ts';
import type { OutputFormat } from './request.ts';

/** Small tasks must never wait behind large ones, so they have a topic and a reader of their own. */
export type Lane = 'quick' | 'bulk';

/** How files are named in the folder of their job: all in the folder, or in `type=Patient/` as Hive and Spark partition data. */
export type FileLayout = 'flat' | 'hive';

/** Half-open: [from, to). */
export interface OffsetRange {
  readonly from: Offset;
  readonly to: Offset;
}

/** A half-open range [from, to) of one partition of one resource type's topic. */
export interface TypeRange extends OffsetRange {
  readonly type: string;
  readonly partition: number;
}

/** Finds the gaps of a range. */
export type GapsOf = (range: TypeRange) => readonly OffsetRange[];

export interface TaskRange extends TypeRange {
  /** Parts that need not be read; ascending, and not adjacent. */
  readonly gaps: readonly OffsetRange[];
}

/** The place of an export's command in `headwater.commands`. */
export interface CommandPlace {
  readonly partition: number;
  readonly offset: Offset;
}

/**
 * The group or patients to export. A group's patients are not listed, since they can be many: the log names them, the same ones to
 * every reader at a cut.
 */
export interface Scope {
  /** Id of a Group, whose members as of the cut (and, for what they joined and left, as of `since`) are meant. */
  readonly group: string | undefined;
  /** Ends of the topic of Group at the cut. */
  readonly groupEnds: readonly Offset[];
  /** The time of the cut. It decides which memberships have begun or ended. */
  readonly time: Stamp;
  /** Only these patients; empty = all of the group or, without one, all there are. Empty as well where `command` is. */
  readonly patients: readonly string[];
  /** The command that names the patients, where they are too many for each task to carry. */
  readonly command: CommandPlace | undefined;
}

export interface TaskFilter {
  /** Only what has a greater stamp; undefined = everything, and deletes are not reported. */
  readonly since: Stamp | undefined;
  /** Only what has no greater stamp. */
  readonly until: Stamp | undefined;
  /** undefined = all resources. */
  readonly scope: Scope | undefined;
  /** See ExportParameters. */
  readonly typeFilters: readonly string[];
  readonly elements: readonly string[];
  /** The rights of the client; undefined = everything is permitted. */
  readonly rights?: TaskRights | undefined;
  /** The export has the Patient resource of every patient, as far as rights permit. */
  readonly everyPatient: boolean;
}

/** A grant, and the part of the log that tells the members of its groups. */
export interface TaskRights {
  readonly grant: Grant;
  /** Ends of the topic of Group at the cut. */
  readonly groupEnds: readonly Offset[];
  /** The time of the cut. */
  readonly time: Stamp;
}

/**
 * How the task's resources are chosen by other resources:
 * `target-in-scope`: Provenance with a target in a compartment that is wanted;
 * `target-returned`, `latest-of-returned`: Provenance of what the export returns, all or the latest of each;
 * `referenced`: whatever a returned resource refers to.
 */
export type RelatedBy = 'target-in-scope' | 'target-returned' | 'latest-of-returned' | 'referenced';

export interface Related {
  readonly by: RelatedBy;
  /** The ranges of the other resources. */
  readonly ranges: readonly TaskRange[];
}

/** The output in blocks, one for each instance of a type. */
export interface Organized {
  readonly by: string;
  /** The ids of the instances divide them among `of` tasks. This task has those of number `slice`. */
  readonly slice: number;
  readonly of: number;
}

/** A pure function of an immutable part of the log: each attempt writes the same bytes under the same names. */
export interface Task {
  readonly jobId: string;
  /** Unique in the job, `0001` and up; part of the file names. */
  readonly taskId: string;
  readonly lane: Lane;
  /** Folder of the job's files in the object store. */
  readonly folder: string;
  readonly outputFormat: OutputFormat;
  readonly layout: FileLayout;
  /** Kafka's ids of the topics that the offsets are of, by resource type; empty in old tasks. */
  readonly topicIds: ReadonlyMap<string, string>;
  /** Ordered by type, then partition. */
  readonly ranges: readonly TaskRange[];
  readonly filter: TaskFilter;
  readonly related: Related | undefined;
  readonly organized: Organized | undefined;
  /** Sentences that belong into the job's `error` files. */
  readonly warnings: readonly string[];
  /** Estimated bytes of the ranges. */
  readonly plannedBytes: number;
}
