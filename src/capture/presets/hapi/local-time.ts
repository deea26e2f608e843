import { HeadwaterError } from '../../../base/errors.ts';

const TIMESTAMP = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?$/;
const MINUTE = 60_000;

/** A moment of a clock on the wall of a time zone. */
export interface LocalTime {
  /** ms since 1970. */
  readonly time: number;
  /** A FHIR instant with ms and the zone's offset, as Java prints it: `2026-11-27T02:03:04.005+01:00`. */
  readonly instant: string;
}

/**
 * Reads timestamps without a zone, which a server wrote by the clock of its zone. The hour that autumn repeats is read as its first
 * pass (daylight time).
 */
export class ZoneClock {
  readonly #format: Intl.DateTimeFormat | undefined;

  /** @param zone IANA name; throws `bad-config` if it is none */
  constructor(zone: string) {
    try {
      const parts = {
        year: 'numeric',
        month: '2-digit',
        day: '2-digit',
        hour: '2-digit',
        minute: '2-digit',
      } as const;
      const made = new Intl.DateTimeFormat('en-CA', { ...parts, timeZone: zone, hourCycle: 'h23' });
      this.#format = made.resolvedOptions().timeZone === 'UTC' ? undefined : made;
    } catch {
      throw new HeadwaterError(
        'bad-config',
        `HEADWATER_SOURCE_TIME_ZONE: ${zone} is no time zone, such as Europe/Berlin`,
      );
    }
  }

  /** @param text a timestamp as PostgreSQL prints it in ISO style; undefined for another text */
  read(text: string): LocalTime | undefined {
    const match = TIMESTAMP.exec(text);
    if (!match) return undefined;
    const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const ms = (match[7] ?? '').padEnd(3, '0').slice(0, 3);
    const wall = Date.UTC(year, month - 1, day, hour, minute, second, Number(ms));
    const offset = this.#offsetAt(wall);
    const [at, sign] = [Math.abs(offset), offset < 0 ? '-' : '+'];
    const zone = `${sign}${two(Math.trunc(at / 60))}:${two(at % 60)}`;
    return {
      time: wall - offset * MINUTE,
      instant: `${text.slice(0, 10)}T${text.slice(11, 19)}.${ms}${zone}`,
    };
  }

  /** Returns the minutes by which the zone is ahead of UTC at a moment of its wall clock. */
  #offsetAt(wall: number): number {
    if (!this.#format) return 0;
    const before = this.#offset(wall - 86_400_000);
    const fits = [before, this.#offset(wall + 86_400_000)].find(
      (offset) => this.#offset(wall - offset * MINUTE) === offset,
    );
    return fits ?? before; // an hour that spring leaves out: as Java reads it, by the offset before it
  }

  #offset(time: number): number {
    const parts = this.#format?.formatToParts(time) ?? [];
    const of = (type: string): number => Number(parts.find((part) => part.type === type)?.value);
    const wall = Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'));
    return Math.round((wall - Math.floor(time / MINUTE) * MINUTE) / MINUTE);
  }
}

function two(number: number): string {
  return String(number).padStart(2, '0');
}
