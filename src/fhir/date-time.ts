import { parseInstant } from './instant.ts';

/** R4's dateTime: a year, a month, a day, or a time with a zone (https://hl7.org/fhir/R4/datatypes.html#dateTime). */
const DATE = /^(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?$/;
const FRACTION = /\.(\d+)/;

/**
 * The time a dateTime covers, as ms since 1970, half-open: as long as it is precise. Days and coarser are taken in UTC.
 * undefined when the text is none.
 */
export function dateTimeRange(text: string): { readonly from: number; readonly to: number } | undefined {
  const match = DATE.exec(text);
  if (!match) {
    const from = parseInstant(text);
    const digits = FRACTION.exec(text)?.[1]?.length ?? 0;
    return from === undefined ? undefined : { from, to: from + 10 ** Math.max(0, 3 - digits) };
  }
  const [, year, month, day] = match.map((part) => (part === undefined ? undefined : Number(part)));
  if (year === undefined || (month !== undefined && (month < 1 || month > 12))) return undefined;
  if (month === undefined) return { from: utc(year, 0, 1), to: utc(year + 1, 0, 1) };
  if (day === undefined) return { from: utc(year, month - 1, 1), to: utc(year, month, 1) };
  const from = utc(year, month - 1, day);
  return new Date(from).getUTCDate() === day ? { from, to: from + 86_400_000 } : undefined;
}

/** Date.UTC takes years below 100 for those of the last century. */
function utc(year: number, month: number, day: number): number {
  return new Date(0).setUTCFullYear(year, month, day);
}
