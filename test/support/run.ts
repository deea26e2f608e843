// `npm test`: starts the servers once, runs Mocha over test/, always ends the servers.
// Parameters go to Mocha: `npm test -- --grep cut`, `npm test -- test/log/offsets.test.ts`.
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { messageOf } from '../../src/base/errors.ts';
import { testEnvironment } from '../../src/stack/environment.ts';
import { startStack, type Stack } from '../../src/stack/stack.ts';
import type { TestCounts } from './reporter.ts';

const parameters = process.argv.slice(2);
const files = parameters.filter((parameter) => parameter.endsWith('.ts'));
const NO_SERVERS =
  files.length > 0 && files.every((file) => !/\.(int|e2e)\.test\.ts$/.test(file) && !file.includes('*'));

let counts: TestCounts | undefined;
let code = 1;
let stack: Stack | undefined;
try {
  if (!NO_SERVERS) stack = await startStack({ purpose: 'tests', report });
  code = await runMocha(stack ? testEnvironment(stack.addresses) : {});
} catch (error) {
  console.error(messageOf(error));
} finally {
  await stack?.stop();
}
// A test file that cannot be loaded ends Mocha before it counts anything.
const { passed, failed, skipped } = counts ?? { passed: 0, failed: 1, skipped: 0 };
console.log(`${String(passed)} passed, ${String(failed)} failed, ${String(skipped)} skipped`);
process.exitCode = code;

function report(line: string): void {
  console.log(line);
}

async function runMocha(servers: Record<string, string>): Promise<number> {
  const root = join(import.meta.dirname, '..', '..');
  const ci = process.env['CI'] !== undefined && process.env['CI'] !== '' ? ['--forbid-only'] : [];
  const specs = files.length > 0 ? [] : ['test/**/*.test.ts'];
  const mocha = fork(
    join(root, 'node_modules', 'mocha', 'bin', 'mocha.js'),
    [...ci, ...parameters, ...specs],
    {
      cwd: root,
      env: { ...process.env, ...servers },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    },
  );
  mocha.on('message', (message) => (counts = message as TestCounts));
  return new Promise((resolve, reject) => {
    mocha.once('error', reject);
    mocha.once('exit', (status) => {
      resolve(status ?? 1);
    });
  });
}
