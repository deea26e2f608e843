import assert from 'node:assert/strict';
import { murmur2 as anothers } from '@platformatic/kafka';
import fc from 'fast-check';
import { murmur2 } from '../../../../src/log/kafka/wire/murmur2.ts';

describe('murmur2', () => {
  it('is what another client computes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (array) => {
        const key = Buffer.from(array);
        assert.equal(murmur2(key) & 0x7fffffff, anothers(key) & 0x7fffffff);
      }),
    );
  });

  it('is what Kafka itself computes, by the values in its tests', () => {
    assert.equal(murmur2(Buffer.from('21')), -973932308);
    assert.equal(murmur2(Buffer.from('foobar')), -790332482);
    assert.equal(murmur2(Buffer.from('a-little-bit-long-string')), -985981536);
    assert.equal(murmur2(Buffer.from('a-little-bit-longer-string')), -1486304829);
    assert.equal(murmur2(Buffer.from('lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8')), -58897971);
    assert.equal(murmur2(Buffer.from('abc')), 479470107);
  });
});
