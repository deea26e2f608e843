/** ms since 1970 of a timestamptz as PostgreSQL prints it in ISO style (`2026-11-21 13:17:00.123+00`). */
export function parseTimestamp(text: string | null): number | null {
  if (text === null) return null;
  const time = Date.parse(text.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00'));
  return Number.isNaN(time) ? null : time;
}

/** The same time as a FHIR instant (R4 datatypes, instant), with at least ms and every digit; undefined if it is none. */
export function instantOf(text: string): string | undefined {
  const match = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?([+-]\d\d)(:\d\d)?$/.exec(text);
  if (!match) return undefined;
  const [, day = '', time = '', fraction = '', hours = '', minutes = ':00'] = match;
  const offset = `${hours}${minutes}`;
  return `${day}T${time}.${fraction.padEnd(3, '0')}${offset === '+00:00' ? 'Z' : offset}`;
}
