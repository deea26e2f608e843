import assert from 'node:assert/strict';
import { ProblemLog } from '../../src/capture/problem-log.ts';

function told(): { lines: string[]; log: ProblemLog; pass: (ms: number) => void } {
  const lines: string[] = [];
  const nothing = (): void => undefined;
  let now = 0;
  const logger = {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: (_: object, line: string) => lines.push(line),
  };
  return { lines, log: new ProblemLog(logger, () => now), pass: (ms) => (now += ms) };
}

describe('the log of rows that cannot be exported', () => {
  it('names a row once an hour, however often it changes', () => {
    const { lines, log, pass } = told();
    for (let i = 0; i < 100; i++) log.report('Patient/a', 'its body is not JSON');
    log.report('Patient/b', 'its body is not JSON');
    assert.deepEqual(lines, [
      'Patient/a cannot be exported: its body is not JSON',
      'Patient/b cannot be exported: its body is not JSON',
    ]);
    pass(3_600_000);
    log.report('Patient/a', 'its body is not JSON');
    assert.equal(lines.length, 3);
  });

  it('says once that there are too many to name, and remembers no more', () => {
    const { lines, log } = told();
    for (let i = 0; i < 50_000; i++) log.report(`Patient/${String(i)}`, 'x');
    assert.equal(lines.length, 10_001);
    assert.match(lines.at(-1) ?? '', /more than 10000 .* only counted/);
  });
});
