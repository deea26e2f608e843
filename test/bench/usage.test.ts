import assert from 'node:assert/strict';
import { parseStat, UsageMeter } from '../../bench/usage.ts';

describe('parseStat', () => {
  it('is not misled by a name with brackets and spaces', () => {
    const text = '42 (a) R (b) S 7 42 42 0 -1 4194560 1 2 3 4 110 22 330 44 20 0 1 0 100 0 0';
    assert.deepEqual(parseStat(text), { parent: 7, user: 110, system: 22, ended: 374 });
  });
});

describe('UsageMeter', () => {
  before(function () {
    if (process.platform !== 'linux') this.skip();
  });

  it('adds up the CPU of a phase that runs twice and keeps its highest memory', async () => {
    const meter = new UsageMeter(() => [{ name: 'me', pid: process.pid }]);
    const work = async (): Promise<void> => {
      const until = process.cpuUsage().user + 150_000;
      while (process.cpuUsage().user < until);
    };
    await meter.during('busy', work);
    await meter.during('busy', work);
    const [phase] = meter.phases;
    assert.equal(phase?.runs, 2);
    const { cpuSeconds = 0, peakBytes = 0 } = phase?.processes['me'] ?? {};
    assert.ok(cpuSeconds >= 0.2 && cpuSeconds < 10, String(cpuSeconds));
    assert.ok(peakBytes > 10e6, String(peakBytes));
  });
});
