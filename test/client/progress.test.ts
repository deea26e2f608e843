import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { progressLine } from '../../src/client/progress.ts';

describe('progress', () => {
  it('is a line for every tenth on a pipe', () => {
    const output = new PassThrough();
    const progress = progressLine('load', output);
    for (let i = 0; i <= 100; i++) progress.update(i / 400, `${String(i)} rows`);
    progress.end('done');
    assert.equal(
      (output.read() as Buffer).toString(),
      'load 0% 0 rows\nload 10% 40 rows\nload 20% 80 rows\nload done\n',
    );
  });

  it('is a bar on a terminal', () => {
    const terminal = Object.assign(new PassThrough(), {
      isTTY: true as const,
      columns: 200,
      cursorTo: () => true,
      clearLine: () => true,
      moveCursor: () => true,
    });
    const progress = progressLine('load', terminal);
    progress.update(0.5, 'half');
    progress.end('done');
    assert.match((terminal.read() as Buffer).toString(), /load .*100% done/);
  });
});
