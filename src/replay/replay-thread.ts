import { enableCompileCache } from 'node:module';
import { workerData } from 'node:worker_threads';
import type { ReplayThreadData } from './replay-pool.ts';

// The start of a replay thread. It has its own cache of compiled code, without which every thread would hold a compiler.
const { compileCache, options } = workerData as ReplayThreadData;
if (compileCache !== undefined) enableCompileCache(compileCache);
const { serveTasks } = await import('./serve-tasks.ts');
serveTasks(options);
