#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

/** Memory for new objects, in MB. By default V8 collects them after some 100 MB in every role; with less it needs no more time. */
const NEW_OBJECTS = '--max-semi-space-size=8';

// Node reads these options only when it starts. So it replaces this process by a new one with the same id.
if (!process.execArgv.includes(NEW_OBJECTS) && process.platform !== 'win32') {
  const parameters = [process.execPath, ...process.execArgv, NEW_OBJECTS, ...process.argv.slice(1)];
  // Threads share the memory that they free.
  // eslint-disable-next-line no-restricted-properties -- passed on, not read
  process.execve?.(process.execPath, parameters, { MALLOC_ARENA_MAX: '2', ...process.env });
}
// Node stores the compiled TypeScript, so the next start needs half the time and less memory.
enableCompileCache(join(import.meta.dirname, '..', '..', '.headwater', 'compile-cache'));
await import('./cli.ts');
