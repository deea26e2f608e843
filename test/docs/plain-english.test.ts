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
      '// What may change',
      { code: '/** Returns what may change. */', options: ['headless'] },
      { code: '// What if it fails?', options: ['headless'] },
    ],
    invalid: [
      { code: '/** What may change. */', options: ['headless'], errors: [{ messageId: 'headless' }] },
      { code: '// whoever asks waits', errors: [{ messageId: 'word' }] },
      { code: '/* It is told of nobody. */', errors: [{ messageId: 'word' }, { messageId: 'word' }] },
      { code: "throw new Error('perhaps it failed');", errors: [{ messageId: 'word' }] },
      { code: 'const text = `the log tells of ${name}`;', errors: [{ messageId: 'word' }] },
      { code: `it('${'long '.repeat(21)}', () => {});`, errors: [{ messageId: 'title' }] },
    ],
  });
});
