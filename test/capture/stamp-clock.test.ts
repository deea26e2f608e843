import assert from 'node:assert/strict';
import fc from 'fast-check';
import { stamp } from '../../src/base/positions.ts';
import { StampClock } from '../../src/capture/stamp-clock.ts';

const event = fc.record({
  kind: fc.constantFrom('change', 'cut'),
  commitTime: fc.integer({ min: 0, max: 50 }),
});

describe('the stamp clock', () => {
  it('separates what is before a cut from what is after it, whatever the commit times do', () => {
    fc.assert(
      fc.property(fc.array(event), fc.integer({ min: 0, max: 50 }), (events, start) => {
        const clock = new StampClock(stamp(start));
        const stamps = events.map(({ kind, commitTime }) => ({
          kind,
          at: kind === 'cut' ? clock.cut(commitTime) : clock.change(commitTime),
        }));
        for (const [i, { kind, at }] of stamps.entries()) {
          for (const later of stamps.slice(i + 1)) {
            if (kind === 'cut') assert.ok(later.at > at, 'after a cut');
            else assert.ok(later.at >= at, 'never back');
          }
          assert.ok(at >= start);
        }
      }),
    );
  });

  it('goes on from its last stamp after a restart', () => {
    fc.assert(
      fc.property(fc.array(event), fc.array(event), (before, after) => {
        const play = (clock: StampClock, events: typeof before): number[] =>
          events.map(({ kind, commitTime }) =>
            kind === 'cut' ? clock.cut(commitTime) : clock.change(commitTime),
          );
        const whole = play(new StampClock(stamp(0)), [...before, ...after]);
        const first = new StampClock(stamp(0));
        const parts = play(first, before);
        parts.push(...play(new StampClock(first.last), after));
        assert.deepEqual(parts, whole);
      }),
    );
  });
});
