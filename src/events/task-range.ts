import { offset } from '../base/positions.ts';
import type { OffsetRange, TaskRange } from './tasks.ts';

/** Returns the parts of a range between its gaps, the newest first. */
export function partsOf({ from, to, gaps }: Pick<TaskRange, 'from' | 'to' | 'gaps'>): OffsetRange[] {
  const parts: OffsetRange[] = [];
  let end: number = to;
  for (const gap of gaps.toReversed()) {
    if (gap.to < end) parts.push({ from: gap.to, to: offset(end) });
    end = Math.min(end, gap.from);
  }
  if (from < end) parts.push({ from, to: offset(end) });
  return parts;
}

/** Returns the number of offsets to read. */
export function offsetsOf(range: TaskRange): number {
  return partsOf(range).reduce((sum, { from, to }) => sum + (to - from), 0);
}
