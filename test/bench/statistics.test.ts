import assert from 'node:assert/strict';
import { covered, median, percentile } from '../../bench/statistics.ts';

describe('statistics of the benchmark', () => {
  it('median is the one in the middle', () => assert.equal(median([9, 1, 5]), 5));

  it('percentile is the smallest value that the share does not pass', () => {
    const values = Array.from({ length: 200 }, (_, i) => 200 - i);
    assert.equal(percentile(values, 0.5), 100);
    assert.equal(percentile(values, 0.99), 198);
    assert.equal(percentile(values, 1), 200);
    assert.equal(percentile([7], 0.5), 7);
  });

  it('covered counts overlapping times once and gaps not at all', () => {
    assert.equal(
      covered([
        [10, 12],
        [0, 4],
        [1, 2],
        [3, 6],
      ]),
      8,
    );
    assert.equal(covered([]), 0);
  });
});
