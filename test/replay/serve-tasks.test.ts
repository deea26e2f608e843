import assert from 'node:assert/strict';
import { HeadwaterError, remedyFor } from '../../src/base/errors.ts';
import { failed } from '../../src/replay/serve-tasks.ts';

const system = (code: string): Error => Object.assign(new Error(`${code}: write`), { code });

describe('a replay thread', () => {
  const errors: readonly (readonly [string, unknown])[] = [
    ['a full disk', system('ENOSPC')],
    ['a disk that is read-only', system('EROFS')],
    ['a server that is away', new Error('read', { cause: system('ECONNREFUSED') })],
    ['Kafka that is away', new HeadwaterError('unavailable', 'Kafka is away')],
    ['a log that lacks records', new HeadwaterError('gone', 'the log lacks records')],
    ['a limit', new HeadwaterError('limit', 'too large')],
    ['a bug', new TypeError('x is not a function')],
  ];
  for (const [name, error] of errors)
    it(`leads to the same as without a thread: ${name}`, () => {
      const { code, message } = failed(error);
      assert.equal(remedyFor(new HeadwaterError(code, message)), remedyFor(error));
    });
});
