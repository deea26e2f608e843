import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const MODULE = join(import.meta.dirname, '..', '..', 'src', 'main', 'stop-signal.ts');
const PROGRAM = `
  import { stopSignal } from ${JSON.stringify(MODULE)};
  const wait = setInterval(() => undefined, 1000);
  stopSignal().addEventListener('abort', () => {
    console.log('stopping');
    if (process.argv[1] === 'orderly') setTimeout(() => (clearInterval(wait), console.log('stopped')), 200);
  });
  console.log('ready');
`;

describe('the stop signal', () => {
  it('takes a Ctrl-C that npm sends on for the same one', async () => {
    const child = await started('orderly');
    child.kill('SIGINT');
    child.kill('SIGINT');
    await child.line('stopping');
    child.kill('SIGINT');
    await child.line('stopped');
    assert.deepEqual(await child.ended, [0, null]);
  });

  it('ends the process at the second one', async () => {
    const child = await started('stuck');
    child.kill('SIGINT');
    await child.line('stopping');
    await delay(1_100);
    child.kill('SIGINT');
    assert.deepEqual(await child.ended, [null, 'SIGINT']);
  });
});

async function started(how: 'orderly' | 'stuck') {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM, how], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  const ended = once(child, 'exit') as Promise<[code: number | null, signal: NodeJS.Signals | null]>;
  const line = async (text: string): Promise<void> => {
    while (!printed.split('\n').includes(text)) await once(child.stdout, 'data');
  };
  await line('ready');
  return { kill: (signal: NodeJS.Signals) => child.kill(signal), line, ended };
}
