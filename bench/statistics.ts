/** Of an odd number the one in the middle, of an even number the upper of the two. NaN of nothing. */
export function median(values: readonly number[]): number {
  return sorted(values)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** The smallest value that `share` (0 to 1) of all values do not pass. NaN of nothing. */
export function percentile(values: readonly number[], share: number): number {
  return sorted(values)[Math.max(0, Math.ceil(share * values.length) - 1)] ?? Number.NaN;
}

/** How long at least one of the intervals was open. */
export function covered(intervals: readonly (readonly [from: number, to: number])[]): number {
  let total = 0;
  let end = -Infinity;
  for (const [from, to] of [...intervals].sort((a, b) => a[0] - b[0])) {
    total += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return total;
}

export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function sorted(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}
