import assert from 'node:assert/strict';
import { lsn, stamp } from '../../src/base/positions.ts';
import { EMPTY_POSITION } from '../../src/events/position.ts';
import { startMode } from '../../src/capture/position.ts';

describe('how capture starts', () => {
  const stored = { ...EMPTY_POSITION, slot: 's', systemId: 'A', lsn: lsn(100n), stamp: stamp(1) };
  const slot = (confirmed: bigint, lost = false) => ({ lost, confirmed: lsn(confirmed) });

  it('loads everything when nothing is stored, whatever the slot', () => {
    assert.equal(startMode(undefined, 'A', undefined), 'first-load');
    assert.equal(startMode(undefined, 'A', slot(5n)), 'first-load');
  });

  it('reloads after a reload that was interrupted, and from another database', () => {
    assert.equal(startMode({ ...stored, lsn: lsn(0n) }, 'A', slot(0n)), 'reload');
    assert.equal(startMode(stored, 'B', slot(100n)), 'reload');
  });

  it('reloads when the slot cannot tell what came after the position', () => {
    assert.equal(startMode(stored, 'A', undefined), 'reload');
    assert.equal(startMode(stored, 'A', slot(100n, true)), 'reload');
    assert.equal(startMode(stored, 'A', slot(101n)), 'reload');
  });

  it('follows the stream otherwise', () => {
    assert.equal(startMode(stored, 'A', slot(100n)), 'stream');
    assert.equal(startMode(stored, 'A', slot(7n)), 'stream');
  });
});
