import assert from 'node:assert/strict';
import { parseConsumerPerformance } from '../../bench/baseline.ts';

describe('parseConsumerPerformance', () => {
  const HEADING =
    'start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec';

  it('reads bytes and the time of fetching from the last table', () => {
    const values =
      '2026-11-21 14:42:00:001, 2026-11-21 14:42:04:000, 38.5000, 9.6, 18536, 4634.0, 3480, 519, 74.2, 35714.8';
    assert.deepEqual(parseConsumerPerformance(`WARNING: odd\n${HEADING}\n${values}\n`), {
      records: 18536,
      bytes: 40370176,
      seconds: 0.519,
    });
  });

  it('refuses output without the table', () => {
    assert.throws(() => parseConsumerPerformance('Error: no such topic'), /no such topic/);
  });
});
