import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import type { WatchdogData } from './watchdog.ts';

const { beats, turns, turnMs } = workerData as WatchdogData;
const view = new Int32Array(beats);
let last = 0;
let silent = -1;

// The beat is 0 until the main thread has started.
setInterval(() => {
  const beat = Atomics.load(view, 0);
  silent = beat === last ? silent + 1 : 0;
  last = beat;
  if (silent < turns) return;
  try {
    writeSync(
      2,
      `headwater: the event loop has stood still for ${String(Math.round((turns * turnMs) / 1000))} s, so the process ends (HEADWATER_WATCHDOG)\n`,
    );
  } finally {
    process.kill(process.pid, 'SIGKILL'); // a thread has no other way to end its process
  }
}, turnMs);
