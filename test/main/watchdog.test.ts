import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

describe('the watchdog', () => {
  let child: ChildProcess;
  let printed: string;

  async function start(limitMs: number): Promise<void> {
    printed = '';
    child = fork(join(import.meta.dirname, 'blocked-loop.ts'), [String(limitMs)], { silent: true });
    child.stderr?.on('data', (data: Buffer) => (printed += data.toString()));
    await once(child, 'message');
  }

  afterEach(() => {
    child.kill('SIGKILL');
  });

  it('ends a process whose event loop stands still, with one line that says so', async () => {
    await start(1_000);
    child.send('block');
    await once(child, 'close', { signal: AbortSignal.timeout(30_000) });
    assert.equal(child.signalCode, 'SIGKILL');
    assert.match(printed, /^headwater: the event loop has stood still .*HEADWATER_WATCHDOG\)\n$/);
  });

  it('leaves a process alone that was stopped for longer and goes on', async () => {
    await start(2_000);
    child.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 5_000)); // the length of the stop is what is tested
    child.kill('SIGCONT');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.deepEqual([child.exitCode, child.signalCode, printed], [null, null, '']);
  });
});
