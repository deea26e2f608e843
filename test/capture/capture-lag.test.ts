import assert from 'node:assert/strict';
import { lsn } from '../../src/base/positions.ts';
import { CaptureLag } from '../../src/capture/capture-lag.ts';

const BEGIN = 1_000_000;

function leading(): { lag: CaptureLag; pass: (ms: number) => void; now: () => number } {
  let time = BEGIN;
  const lag = new CaptureLag(() => time);
  lag.begins();
  lag.probed(lsn(100n), time);
  lag.covered(lsn(100n));
  return { lag, pass: (ms) => (time += ms), now: () => time };
}

describe('the lag of capture', () => {
  it('is unknown where another capture leads or none ever did', () => {
    const lag = new CaptureLag(() => BEGIN);
    assert.equal(lag.value, undefined);
    lag.begins();
    assert.equal(lag.value, 0);
    lag.standsBy();
    assert.equal(lag.value, undefined);
  });

  it('is 0 while nothing happens, however long', () => {
    const { lag, pass, now } = leading();
    for (let i = 0; i < 10_000; i++) {
      pass(1_000);
      lag.probed(lsn(100n), now());
      lag.covered(lsn(100n));
      assert.equal(lag.value, 0);
    }
  });

  it('is the age of the oldest transaction that is not stored, from its first row to the commit in Kafka', () => {
    const { lag, pass, now } = leading();
    lag.transactionBegan(now() - 50);
    assert.equal(lag.value, 50);
    pass(8_000);
    assert.equal(lag.value, 8_050);
    lag.transactionEnded();
    lag.handedOver();
    lag.transactionBegan(now());
    pass(1_000);
    assert.equal(lag.value, 9_050);
    lag.stored(lsn(200n));
    assert.equal(lag.value, 1_000);
    lag.transactionEnded();
    lag.handedOver();
    lag.stored(lsn(300n));
    assert.equal(lag.value, 0);
  });

  it('grows when the log of the source goes on and nothing of it comes', () => {
    const { lag, pass, now } = leading();
    lag.probed(lsn(200n), now());
    for (let i = 0; i < 10_000; i++) {
      pass(1_000);
      lag.probed(lsn(300n + BigInt(i)), now());
    }
    assert.equal(lag.value, 10_000_000);
    lag.covered(lsn(1_000_000n));
    assert.equal(lag.value, 0);
  });

  it('grows while capture is down or loads, and ends when it has caught up', () => {
    const { lag, pass, now } = leading();
    lag.transactionBegan(now());
    pass(1_000);
    lag.ended();
    pass(5_000);
    assert.equal(lag.value, 6_000);
    lag.begins();
    pass(1_000);
    assert.equal(lag.value, 7_000);
    lag.probed(lsn(500n), now());
    assert.equal(lag.value, 7_000);
    lag.covered(lsn(500n));
    assert.equal(lag.value, 0);
  });

  it('counts by the clock of this process when the clock of the source is another', () => {
    const { lag, pass, now } = leading();
    const ahead = 120_000;
    lag.probed(lsn(100n), now() + ahead);
    lag.covered(lsn(100n));
    lag.transactionBegan(now() + ahead);
    pass(3_000);
    assert.equal(lag.value, 3_000);
  });
});
