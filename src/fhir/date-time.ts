import { parseInstant } from './instant.ts';

/** R4's dateTime: a year, a month, a day, or a time with a zone (https://hl7.org/fhir/R4/datatypes.html#dateTime). */
const DATE = /^(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?$/;

/**
 * The time a dateTime covers, as ms since 1970, half-open; days and coarser are taken in UTC. undefined when the text is none.
 */
export function dateTimeRange(text: string): { readonly from: number; readonly to: number } | undefined {
  const match = DATE.exec(text);
  if (!match) {
    const from = parseInstant(text);
    return from === undefined ? undefined : { from, to: from + 1 };
  }
  const [, year, month, day] = match.map((part) => (part === undefined ? undefined : Number(part)));
  if (year === undefined || (month !== undefined && (month < 1 || month > 12))) return undefined;
  if (month === undefined) return { from: Date.UTC(year, 0), to: Date.UTC(year + 1, 0) };
  if (day === undefined) return { from: Date.UTC(year, month - 1), to: Date.UTC(year, month) };
  const from = Date.UTC(year, month - 1, day);
  return new Date(from).getUTCDate() === day ? { from, to: from + 86_400_000 } : undefined;
}
