/* eslint-disable prose/plain-english -- the words are examples here */
import { RuleTester } from 'eslint';
import prose from '../../scripts/plain-english.mjs';

RuleTester.describe = describe;
RuleTester.it = it;

describe('the lint rule for plain English', () => {
  new RuleTester().run('plain-english', prose.rules['plain-english'], {
    valid: [
      '/** Returns the members of a group. */',
      "it('reports a closed connection', () => {});",
      "const user = 'nobody';",
      'const nobody = 1;',
    ],
    invalid: [
      { code: '// whoever asks waits', errors: [{ messageId: 'word' }] },
      { code: '/* It is told of nobody. */', errors: [{ messageId: 'word' }, { messageId: 'word' }] },
      { code: "throw new Error('perhaps it failed');", errors: [{ messageId: 'word' }] },
      { code: 'const text = `the log tells of ${name}`;', errors: [{ messageId: 'word' }] },
      { code: `it('${'long '.repeat(21)}', () => {});`, errors: [{ messageId: 'title' }] },
    ],
  });
});
