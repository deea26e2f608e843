/** R4's instant: a date and time to the second or finer, always with a zone (https://hl7.org/fhir/R4/datatypes.html#instant). */
const INSTANT =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d{1,9}))?(Z|[+-](?:0\d|1[0-3]):[0-5]\d|[+-]14:00)$/;

/**
 * ms since 1970 of a FHIR instant, undefined when the text is none. Finer fractions are cut off; a leap second counts as
 * the second after it.
 */
export function parseInstant(text: string): number | undefined {
  const match = INSTANT.exec(text);
  if (!match) return undefined;
  const [
    ,
    year = '',
    month = '',
    day = '',
    hours = '',
    minutes = '',
    seconds = '',
    fraction = '',
    zone = '',
  ] = match;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  if (date.getUTCDate() !== Number(day)) return undefined; // 30 February
  const local = date.getTime() + ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000;
  return local - zoneMinutes(zone) * 60_000 + Number(fraction.slice(0, 3).padEnd(3, '0'));
}

/** `yyyy-MM-ddTHH:mm:ss.SSSZ`, the one shape that every client of bulk data reads. */
export function formatInstant(ms: number): string {
  return new Date(ms).toISOString();
}

function zoneMinutes(zone: string): number {
  if (zone === 'Z') return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6));
  return zone.startsWith('-') ? -minutes : minutes;
}
