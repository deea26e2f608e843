import type { TaskRange } from '../events/tasks.ts';

export interface Sized {
  readonly range: TaskRange;
  /** Estimated. */
  readonly bytes: number;
}

type Group = readonly Sized[];

/** Below this a job is not divided for parallelism: starting a task and opening its files costs more than it saves. */
const WORTH_DIVIDING = 4 << 20;
/** Bytes that are worth a task of their own in organized output, although each task reads everything. */
const ORGANIZED_BYTES = 1 << 30;

/** Portions of ranges: none larger than `taskBytes` if it can be helped, and as many as can be worked on at a time. */
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

/** Into how many tasks an organized export is divided by patients: each reads everything, so no more than can run at a time. */
export function organizedSlices(bytes: number, parallelism: number): number {
  return Math.max(1, Math.min(parallelism, Math.ceil(bytes / ORGANIZED_BYTES)));
}

export function sum(sized: Group): number {
  return sized.reduce((total, { bytes }) => total + bytes, 0);
}
