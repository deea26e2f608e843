import { stamp } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import type { ExportPlanned } from '../events/status.ts';
import type { Command } from '../events/commands.ts';
import type { Lane, Task, TaskRange } from '../events/tasks.ts';

export type ExportCommand = Extract<Command, { readonly kind: 'ExportRequested' }>;

export interface PlanSettings {
  /** Estimated bytes a task should not pass. A single range may: it is never split, since newest-first needs all of it. */
  readonly taskBytes: number;
  /** A job planned to be smaller goes to the quick lane, whole. */
  readonly quickBytes: number;
  /** Tasks to aim at, at least, for a job that is worth dividing. */
  readonly parallelism: number;
}

/** Where a job with `_since` starts to read. */
export interface Since {
  /** ms since 1970; records with a greater stamp are wanted. */
  readonly time: number;
  /** First offset to read by type, then partition; 0 where there is none. */
  readonly from: ReadonlyMap<string, readonly Offset[]>;
}

export interface Plan {
  readonly planned: ExportPlanned;
  readonly tasks: readonly Task[];
}

interface Sized {
  readonly range: TaskRange;
  readonly bytes: number;
}

type Group = readonly Sized[];

/** Below this a job is not divided for parallelism: starting a task and opening its files costs more than it saves. */
const WORTH_DIVIDING = 4 << 20;
const UNKNOWN_MEAN_BYTES = 2_000;

/**
 * What has to be read for an export and in which portions. Pure: the same command gives the same tasks, so a planner that
 * crashed and plans again changes nothing. The lane is the job's, not the task's: otherwise the small tasks of large
 * exports would fill the lane in which small exports are not to wait.
 */
export function plan(command: ExportCommand, settings: PlanSettings, at: number, since?: Since): Plan {
  const ranges = plannedRanges(command, since);
  const total = sum(ranges);
  const lane: Lane = total < settings.quickBytes ? 'quick' : 'bulk';
  const folder = folderOf(command);
  const tasks = divide(ranges, settings).map((group, i): Task => ({
    jobId: command.jobId,
    taskId: String(i + 1).padStart(4, '0'),
    lane,
    folder,
    outputFormat: command.parameters.outputFormat,
    ranges: group.map(({ range }) => range),
    filter: { since: since === undefined ? undefined : stamp(since.time) },
    plannedBytes: sum(group),
  }));
  const planned: ExportPlanned = {
    kind: 'ExportPlanned',
    jobId: command.jobId,
    at,
    clientId: command.clientId,
    acceptedAt: command.acceptedAt,
    requestUrl: command.requestUrl,
    parameters: command.parameters,
    folder,
    transactionTime: command.cut.time,
    lsn: command.cut.lsn,
    tasks: tasks.map(({ taskId, plannedBytes }) => ({ taskId, lane, plannedBytes })),
  };
  return { planned, tasks };
}

/** The types to read: those asked for that the log holds, in a fixed order. */
export function plannedTypes(command: ExportCommand): string[] {
  const { types } = command.parameters;
  return [...command.cut.ends.keys()].filter((type) => types.length === 0 || types.includes(type)).sort();
}

function plannedRanges(command: ExportCommand, since: Since | undefined): Sized[] {
  return plannedTypes(command).flatMap((type) => {
    const mean = command.cut.meanBytes.get(type) ?? UNKNOWN_MEAN_BYTES;
    const starts = since?.from.get(type) ?? [];
    return (command.cut.ends.get(type) ?? []).flatMap((to, partition): Sized[] => {
      const from = starts[partition] ?? (0 as Offset);
      return from >= to
        ? []
        : [{ range: { type, partition, from, to }, bytes: Math.round((to - from) * mean) }];
    });
  });
}

function divide(ranges: Group, { taskBytes, parallelism }: PlanSettings): Group[] {
  const total = sum(ranges);
  if (total < WORTH_DIVIDING) return pack(ranges, taskBytes);
  const groups = pack(ranges, Math.min(taskBytes, Math.ceil(total / parallelism)));
  const wanted = Math.min(parallelism, ranges.length);
  while (groups.length < wanted) splitLargest(groups);
  return groups;
}

/** In order, up to `limit` a group; a type that fits into one group is not spread over two, so that it stays one file. */
function pack(ranges: Group, limit: number): Group[] {
  const groups: Sized[][] = [];
  let open: Sized[] = [];
  let openBytes = 0;
  const close = (): void => {
    if (open.length > 0) groups.push(open);
    open = [];
    openBytes = 0;
  };
  for (const sameType of Map.groupBy(ranges, ({ range }) => range.type).values()) {
    const bytes = sum(sameType);
    if (openBytes + bytes > limit && bytes <= limit) close();
    for (const one of sameType) {
      if (openBytes + one.bytes > limit) close();
      open.push(one);
      openBytes += one.bytes;
    }
  }
  close();
  return groups;
}

/** Splits the heaviest group of several ranges where its halves are most alike. */
function splitLargest(groups: Group[]): void {
  let largest = -1;
  groups.forEach((group, i) => {
    if (group.length > 1 && (largest < 0 || sum(group) > sum(groups[largest] ?? []))) largest = i;
  });
  const group = groups[largest] ?? [];
  const half = sum(group) / 2;
  let best = 1;
  for (let i = 1, before = 0, nearest = Infinity; i < group.length; i++) {
    before += group[i - 1]?.bytes ?? 0;
    if (Math.abs(before - half) < nearest) [nearest, best] = [Math.abs(before - half), i];
  }
  groups.splice(largest, 1, group.slice(0, best), group.slice(best));
}

/** `<yyyyMMddTHHmmssZ>_<jobId>`: sorts by time, and a folder found without its job says whose it was and how old it is. */
function folderOf({ jobId, cut }: ExportCommand): string {
  const time = new Date(cut.time).toISOString().replace(/\.\d+Z$/, 'Z');
  return `${time.replaceAll(/[-:]/g, '')}_${jobId}`;
}

function sum(sized: Group): number {
  return sized.reduce((total, { bytes }) => total + bytes, 0);
}
