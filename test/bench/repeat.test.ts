import assert from 'node:assert/strict';
import { together } from '../../bench/repeat.ts';

describe('together', () => {
  it('keeps the seconds of each run', () => {
    const runs = [3, 1, 2].map((seconds) => ({ seconds, resources: 5, bytes: 50 }));
    assert.deepEqual(together(runs), { seconds: [3, 1, 2], resources: 5, bytes: 50 });
  });

  it('refuses runs that returned something else', () => {
    const run = { seconds: 1, resources: 5, bytes: 50 };
    assert.throws(() => together([run, { ...run, resources: 4 }]), /5 resources.* 4,/);
    assert.throws(() => together([run, { ...run, bytes: 51 }]), /50 bytes.* 51/);
  });
});
