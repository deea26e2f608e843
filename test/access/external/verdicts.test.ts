import assert from 'node:assert/strict';
import { Verdicts } from '../../../src/access/external/verdicts.ts';
import { HeadwaterError } from '../../../src/base/errors.ts';

const result = new HeadwaterError('invalid-token', 'no');

describe('the kept verdicts on tokens', () => {
  it('end at their time', () => {
    const verdicts = new Verdicts();
    verdicts.keep('a', { until: 10, result });
    assert.equal(verdicts.find('a', 9)?.result, result);
    assert.equal(verdicts.find('a', 10), undefined);
    assert.equal(verdicts.find('b', 9), undefined);
  });

  it('are those on the latest 10,000 tokens', () => {
    const verdicts = new Verdicts();
    const keep = (i: number) => verdicts.keep(`token-${i}`, { until: 10, result });
    const has = (i: number) => verdicts.find(`token-${i}`, 0) !== undefined;
    for (let i = 0; i < 10_000; i++) keep(i);
    keep(0);
    assert.deepEqual([has(0), has(1), has(9_999)], [true, true, true]);
    keep(10_000);
    assert.deepEqual([has(0), has(1), has(2), has(10_000)], [true, false, true, true]);
  });
});
