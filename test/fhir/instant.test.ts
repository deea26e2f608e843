import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatInstant, parseInstant } from '../../src/fhir/instant.ts';

describe('instant', () => {
  it('reads what it writes, over all years of four digits', () => {
    const times = fc.date({
      min: new Date('0001-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(times, (date) => assert.equal(parseInstant(formatInstant(date.getTime())), date.getTime())),
    );
  });

  it('agrees with Date.parse wherever both read a text', () => {
    const part = (most: number): fc.Arbitrary<string> => fc.nat(most).map((n) => String(n).padStart(2, '0'));
    const text = fc
      .tuple(
        part(13),
        part(32),
        part(24),
        part(60),
        part(60),
        fc.constantFrom('', '.5', '.123', '.1239'),
        fc.constantFrom('Z', '+02:00', '-11:30', '+14:00'),
      )
      .map(
        ([month, day, h, m, s, fraction, zone]) => `2024-${month}-${day}T${h}:${m}:${s}${fraction}${zone}`,
      );
    fc.assert(
      fc.property(text, (value) => {
        const read = parseInstant(value);
        if (read !== undefined && !/:60/.test(value)) assert.equal(read, Date.parse(value));
      }),
      { numRuns: 2_000 },
    );
  });

  const good: Readonly<Record<string, string>> = {
    '2024-02-29T12:00:00Z': '2024-02-29T12:00:00.000Z',
    '2024-01-01T00:00:00.1+01:00': '2023-12-31T23:00:00.100Z',
    '2024-01-01T00:00:00.123456Z': '2024-01-01T00:00:00.123Z',
    '2016-12-31T23:59:60Z': '2017-01-01T00:00:00.000Z',
  };
  for (const [text, same] of Object.entries(good)) {
    it(`reads ${text}`, () => {
      assert.equal(formatInstant(parseInstant(text) ?? NaN), same);
    });
  }

  for (const text of [
    '',
    '2024',
    '2024-01-01',
    '2024-01-01T00:00:00',
    '2024-01-01T00:00Z',
    '2024-01-01 00:00:00Z',
    '2023-02-29T00:00:00Z',
    '2024-04-31T00:00:00Z',
    '2024-13-01T00:00:00Z',
    '2024-01-01T24:00:00Z',
    '2024-01-01T00:00:00+15:00',
    '2024-01-01T00:00:00z',
    ' 2024-01-01T00:00:00Z',
    '2024-01-01T00:00:00.Z',
  ]) {
    it(`refuses "${text}"`, () => {
      assert.equal(parseInstant(text), undefined);
    });
  }
});
