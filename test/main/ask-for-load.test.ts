import assert from 'node:assert/strict';
import { stamp } from '../../src/base/positions.ts';
import { EMPTY_POSITION } from '../../src/events/position.ts';
import type { PendingLoad, Position } from '../../src/events/position.ts';
import { positionAsked } from '../../src/main/ask-for-load.ts';

const before = [{ type: 'Patient', id: 'p', starts: [0], ends: [5] }];
const states = [{ type: 'Patient', id: 'p', starts: [0], ends: [9] }];
const epoch = { id: 'e', began: stamp(1) };

describe('a load that an operator asks for', () => {
  const asked = (was: PendingLoad, lost = false): Position => {
    const stored: Position = { ...EMPTY_POSITION, slot: 's', pending: was, epoch, topics: before };
    return positionAsked(stored, { pending: 'reload', states, lost });
  };

  it('begins where the topics end', () => {
    const { pending, slot, topics } = asked('none');
    assert.deepEqual({ pending, slot, topics }, { pending: 'reload', slot: '', topics: states });
    assert.deepEqual(positionAsked(undefined, { pending: 'reload', states, lost: false }).topics, states);
  });

  it('begins where they ended before a reload that was interrupted', () => {
    assert.deepEqual(asked('reload').topics, before);
    assert.deepEqual(asked('reload').epoch, epoch);
  });

  it('begins another epoch in topics that have lost records', () => {
    assert.equal(asked('reload', true).epoch, undefined);
    assert.deepEqual(asked('reload', true).topics, states);
  });
});
