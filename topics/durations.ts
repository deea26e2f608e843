const HOUR = 3_600_000;

/** Milliseconds, as Kafka takes them. */
export function hours(count: number): string {
  return String(Math.round(count * HOUR));
}

export function days(count: number): string {
  return hours(count * 24);
}

export const MEBIBYTE = 1024 * 1024;
