import assert from 'node:assert/strict';
import { ConfirmedPosition } from '../../src/capture/confirmed-position.ts';
import { lsn } from '../../src/base/positions.ts';

describe('the confirmed position', () => {
  const at = (n: number) => lsn(BigInt(n));

  it('stays where it is until Kafka has committed', () => {
    const position = new ConfirmedPosition(at(10));
    position.transactionBegan();
    position.transactionEnded(at(20));
    position.advancedTo(at(25));
    assert.equal(position.stored, at(10));
    assert.equal(position.reached, at(20));
    position.committed(at(20));
    assert.equal(position.stored, at(20));
  });

  it('advances on an idle database, once there is nothing left to store', () => {
    const position = new ConfirmedPosition(at(10));
    assert.equal(position.idleAdvance(), undefined);
    position.advancedTo(at(30));
    assert.equal(position.idleAdvance(), at(30));
    assert.equal(position.stored, at(10), 'not before it is stored');
    position.committed(at(30));
    assert.equal(position.idleAdvance(), undefined);
  });

  it('does not advance past a transaction that is open or not stored', () => {
    const position = new ConfirmedPosition(at(10));
    position.transactionBegan();
    position.advancedTo(at(30));
    assert.equal(position.idleAdvance(), undefined);
    position.transactionEnded(at(40));
    assert.equal(position.idleAdvance(), undefined);
    position.committed(at(40));
    assert.equal(position.idleAdvance(), undefined, 'what was seen before the transaction is behind it');
  });

  it('never goes back', () => {
    const position = new ConfirmedPosition(at(50));
    position.transactionBegan();
    position.transactionEnded(at(40));
    position.committed(at(40));
    position.advancedTo(at(45));
    assert.equal(position.stored, at(50));
    assert.equal(position.idleAdvance(), undefined);
  });
});
