import assert from 'node:assert/strict';
import fc from 'fast-check';
import { dateTimeRange } from '../../src/fhir/date-time.ts';

const range = (text: string): string[] | undefined => {
  const found = dateTimeRange(text);
  return found && [new Date(found.from).toISOString(), new Date(found.to).toISOString()];
};

describe('the time that a dateTime covers', () => {
  it('is as long as it is precise', () => {
    const cases: readonly [string, string, string][] = [
      ['2024', '2024-01-01T00:00:00.000Z', '2025-01-01T00:00:00.000Z'],
      ['2024-02', '2024-02-01T00:00:00.000Z', '2024-03-01T00:00:00.000Z'],
      ['2024-12', '2024-12-01T00:00:00.000Z', '2025-01-01T00:00:00.000Z'],
      ['2024-02-29', '2024-02-29T00:00:00.000Z', '2024-03-01T00:00:00.000Z'],
      ['2024-02-29T23:59:59Z', '2024-02-29T23:59:59.000Z', '2024-03-01T00:00:00.000Z'],
      ['2024-02-29T23:59:59.9Z', '2024-02-29T23:59:59.900Z', '2024-03-01T00:00:00.000Z'],
      ['2024-02-29T23:59:59.99Z', '2024-02-29T23:59:59.990Z', '2024-03-01T00:00:00.000Z'],
      ['2024-02-29T23:59:59.998+01:00', '2024-02-29T22:59:59.998Z', '2024-02-29T22:59:59.999Z'],
      ['2024-02-29T23:59:59.9987Z', '2024-02-29T23:59:59.998Z', '2024-02-29T23:59:59.999Z'],
    ];
    for (const [text, from, to] of cases) assert.deepEqual(range(text), [from, to], text);
  });

  it('is of the year that is written, also of one that others take for a year of the last century', () => {
    assert.deepEqual(range('0001-01-01'), ['0001-01-01T00:00:00.000Z', '0001-01-02T00:00:00.000Z']);
    assert.deepEqual(range('0099'), ['0099-01-01T00:00:00.000Z', '0100-01-01T00:00:00.000Z']);
    assert.deepEqual(range('0050-12'), ['0050-12-01T00:00:00.000Z', '0051-01-01T00:00:00.000Z']);
  });

  it('is unknown for what is no dateTime', () => {
    for (const text of [
      '',
      'soon',
      '24',
      '2024-13',
      '2024-00',
      '2023-02-29',
      '2024-04-31',
      '2024-01-00',
      '2024-1-1',
      '2024-01-01T10:00:00',
      '2024-01-01T10:00Z',
      '2024-01-01T24:00:00Z',
      '2024 ',
      '02024',
    ])
      assert.equal(dateTimeRange(text), undefined, text);
  });

  it('holds every instant that begins with it', () => {
    const instants = fc.date({
      min: new Date('0001-01-02T00:00:00Z'),
      max: new Date('9998-12-31T00:00:00Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(instants, fc.constantFrom(4, 7, 10), (date, length) => {
        const found = dateTimeRange(date.toISOString().slice(0, length));
        assert(found && found.from <= date.getTime() && date.getTime() < found.to);
        const outside = [new Date(found.from - 1), new Date(found.to)];
        for (const one of outside)
          assert.notEqual(one.toISOString().slice(0, length), date.toISOString().slice(0, length));
      }),
    );
  });
});
