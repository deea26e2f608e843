/** R4's date and dateTime, and instant, in parts (https://hl7.org/fhir/R4/datatypes.html#dateTime). */
const DATE = /^(\d{4})(?:-(\d{2})(?:-(\d{2})(T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?)?)?$/;
const DAY = 86_400_000;
/** The oldest age that HIPAA's Safe Harbor method lets a date reveal (45 CFR 164.514(b)(2)(i)(C)). */
export const MAX_AGE = 89;

/**
 * Shifts a date, dateTime or instant by days. The time of day becomes zeros; the zone stays. undefined for a date without a day, for one that
 * reveals an age above 89, and for a text that is no date: redact these.
 * Source: Microsoft, FHIR data anonymization, "Date-shift".
 * @param at the time at which ages are counted, in ms since 1970
 */
export function shiftDate(text: string, days: number, at: number): string | undefined {
  const [, year, month, day, time = ''] = DATE.exec(text) ?? [];
  if (year === undefined || month === undefined || day === undefined || isOver(text, at)) return undefined;
  const start = Date.parse(`${year}-${month}-${day}T00:00:00Z`);
  if (Number.isNaN(start) || new Date(start).toISOString().slice(8, 10) !== day) return undefined;
  const shifted = new Date(start + days * DAY).toISOString();
  if (!/^\d{4}-/.test(shifted)) return undefined;
  const [, clock = '', zone = ''] = /^(.*?)(Z|[+-]\d{2}:\d{2})?$/.exec(time) ?? [];
  return shifted.slice(0, 10) + clock.replaceAll(/\d/g, '0') + zone;
}

/** Returns the year of a date, unless the date reveals an age above 89 or is none. */
export function yearOf(text: string, at: number): string | undefined {
  return isOver(text, at) ? undefined : DATE.exec(text)?.[1];
}

function isOver(text: string, at: number): boolean {
  const [, year, month = '01', day = '01'] = DATE.exec(text) ?? [];
  if (year === undefined) return true;
  const now = new Date(at).toISOString().slice(0, 10);
  const age = Number(now.slice(0, 4)) - Number(year) - (now.slice(5) < `${month}-${day}` ? 1 : 0);
  return age > MAX_AGE;
}
