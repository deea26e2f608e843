import type { TaskRange } from '../events/tasks.ts';

export interface Sized {
  readonly range: TaskRange;
  /** Estimated. */
  readonly bytes: number;
}

type Group = readonly Sized[];

/** A job of fewer bytes is not divided for parallelism: to start a task and open its files costs more than it saves. */
const WORTH_DIVIDING = 4 << 20;
/** Bytes that justify another task in organized output, although each task reads everything. */
const ORGANIZED_BYTES = 1 << 30;

/** Divides ranges into groups: none larger than `taskBytes` if possible, and enough for the tasks that can run at a time. */
export function divide(
  ranges: Group,
  { taskBytes, parallelism }: { readonly taskBytes: number; readonly parallelism: number },
): Group[] {
  const total = sum(ranges);
  if (total < WORTH_DIVIDING) return pack(ranges, taskBytes);
  const groups = pack(ranges, Math.min(taskBytes, Math.ceil(total / parallelism)));
  const wanted = Math.min(parallelism, ranges.length);
  while (groups.length < wanted) splitLargest(groups);
  return groups;
}

/** Groups ranges in order, each group up to `limit`. A type that fits into one group stays in one, so that it becomes one file. */
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

/** Splits the heaviest group that has several ranges, so that its two parts are as equal as possible. */
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

/** Returns the number of tasks of an organized export. Each task reads everything, so there are no more than can run at a time. */
export function organizedSlices(bytes: number, parallelism: number): number {
  return Math.max(1, Math.min(parallelism, Math.ceil(bytes / ORGANIZED_BYTES)));
}

export function sum(sized: Group): number {
  return sized.reduce((total, { bytes }) => total + bytes, 0);
}
