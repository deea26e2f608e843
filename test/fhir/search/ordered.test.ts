import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseTypeFilter } from '../../../src/fhir/search/type-filter.ts';

const PREFIXES = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'] as const;
type Answers = Record<(typeof PREFIXES)[number], boolean>;

function answers(parameter: string, value: string, resource: unknown): Answers {
  const of = (prefix: string) =>
    parseTypeFilter(`${parameter}=${prefix}${encodeURIComponent(value)}`).matches(resource);
  return Object.fromEntries(PREFIXES.map((prefix) => [prefix, of(prefix)])) as Answers;
}

/** What holds between the prefixes whatever is compared. */
function consistent(found: Answers): void {
  assert.notEqual(found.eq, found.ne);
  if (found.eq) assert.ok(found.ge && found.le && found.ap && !found.sa && !found.eb);
  if (found.sa) assert.ok(found.gt && found.ge && !found.lt && !found.le);
  if (found.eb) assert.ok(found.lt && found.le && !found.gt && !found.ge);
  assert.ok(found.ge || found.le);
}

const digits = (value: number, length: number) => String(value).padStart(length, '0');
const part = (max: number, from = 1) => fc.integer({ min: from, max });
const zone = fc.constantFrom('Z', '+00:00', '-05:00', '+13:30');
/** A date of any precision, and a longer form of the same that lies in it. */
const date = fc
  .record({
    y: part(2100, 1900),
    m: part(12),
    d: part(28),
    h: part(23, 0),
    i: part(59, 0),
    s: part(59, 0),
    ms: part(999, 0),
    zone,
    cut: fc.constantFrom(4, 7, 10, 19, 23),
  })
  .map(({ y, m, d, h, i, s, ms, zone: offset, cut }) => {
    const whole = `${y}-${digits(m, 2)}-${digits(d, 2)}T${digits(h, 2)}:${digits(i, 2)}:${digits(s, 2)}.${digits(ms, 3)}`;
    const inUtc = cut <= 10 ? 'Z' : offset; // a date is one of UTC
    return { short: whole.slice(0, cut) + (cut > 10 ? offset : ''), long: whole + inUtc };
  });

describe('prefixes', () => {
  it('of dates agree with each other, for dates and periods of any precision', () => {
    fc.assert(
      fc.property(date, date, date, (search, start, end) => {
        consistent(answers('Observation?date', search.short, { effectiveDateTime: start.short }));
        consistent(answers('Observation?date', search.short, { effectivePeriod: { start: start.short } }));
        const [from, to] = [start, end].sort((a, b) => Date.parse(a.long) - Date.parse(b.long));
        consistent(
          answers('Observation?date', search.short, {
            effectivePeriod: { start: from?.short, end: to?.long },
          }),
        );
      }),
    );
  });

  it('of dates: a time is found by every date that it lies in', () => {
    fc.assert(
      fc.property(date, ({ short, long }) => {
        assert.ok(answers('Observation?date', short, { effectiveDateTime: long }).eq);
      }),
    );
  });

  it('of dates order points in time as their milliseconds do', () => {
    fc.assert(
      fc.property(date, date, (a, b) => {
        const found = answers('Observation?date', a.long, { effectiveDateTime: b.long });
        const difference = Date.parse(b.long) - Date.parse(a.long);
        assert.deepEqual([found.gt, found.lt, found.eq], [difference > 0, difference < 0, difference === 0]);
      }),
    );
  });

  it('of numbers agree with each other and with arithmetic', () => {
    const decimal = fc.tuple(fc.integer({ min: -9999, max: 9999 }), fc.integer({ min: 0, max: 4 }));
    fc.assert(
      fc.property(decimal, fc.integer({ min: -999_999, max: 999_999 }), ([mantissa, places], target) => {
        const text = (mantissa / 10 ** places).toFixed(places);
        const value = target / 1000;
        const found = answers('ChargeItem?factor-override', text, { factorOverride: value });
        // The others take the number as exact, `eq` and `ne` do not
        assert.deepEqual([found.gt, found.lt], [value > Number(text), value < Number(text)]);
        assert.deepEqual([found.ge, found.le], [!found.lt, !found.gt]);
        // In thousandths, so that there is nothing to round
        const scaled = mantissa * 10 ** (6 - places);
        const half = 5 * 10 ** (5 - places);
        assert.equal(found.eq, target * 1000 >= scaled - half && target * 1000 < scaled + half);
        assert.notEqual(found.eq, found.ne);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a string search', () => {
  it('finds every text by its beginning in any letter case, and by any part with :contains', () => {
    const text = fc.string({
      unit: fc.constantFrom('a', 'B', 'é', 'Ö', 'o\u0308', 'ñ', ' ', '-', '1', ',', '\\', '+', '%', '&'),
      minLength: 2,
    });
    fc.assert(
      fc.property(text, fc.nat(), fc.nat(), (whole, from, length) => {
        const escaped = (value: string) => encodeURIComponent(value.replaceAll(/[\\,]/g, '\\$&'));
        const start = from % (whole.length - 1);
        const some = whole.slice(start, start + 1 + (length % (whole.length - start)));
        const resource = { name: [{ family: whole }] };
        assert.ok(
          parseTypeFilter(`Patient?family=${escaped(whole.slice(0, start + 1).toUpperCase())}`).matches(
            resource,
          ),
        );
        assert.ok(parseTypeFilter(`Patient?family:contains=${escaped(some)}`).matches(resource));
        assert.ok(parseTypeFilter(`Patient?family:exact=${escaped(whole)}`).matches(resource));
      }),
    );
  });
});
