import assert from 'node:assert/strict';
import { Phases } from '../../bench/phases.ts';
import { UsageMeter } from '../../bench/usage.ts';

describe('Phases', () => {
  const phases = (limitMs: number, signal = new AbortController().signal): Phases =>
    new Phases({ meter: new UsageMeter(() => []), signal, limitMs, report: () => undefined });
  const forever = (): Promise<never> => new Promise(() => undefined);

  it('names the phase that does not end', async () => {
    await assert.rejects(phases(20).run('COPY', forever), { message: 'COPY: not done after 0 s' });
  });

  it('names the phase that fails', async () => {
    const failing = phases(60_000).run('COPY', () => Promise.reject(new Error('no table')));
    await assert.rejects(failing, { message: 'COPY: no table' });
  });

  it('ends at once with the reason of the signal', async () => {
    const stop = new AbortController();
    const running = phases(60_000, stop.signal).run('COPY', forever);
    stop.abort(new Error('worker ended'));
    await assert.rejects(running, { message: 'worker ended' });
  });
});
