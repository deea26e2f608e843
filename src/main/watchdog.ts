import inspector from 'node:inspector';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

const BEAT_MS = 500;

export interface WatchdogData {
  readonly beats: SharedArrayBuffer;
  /** Number of turns without a beat after which the watchdog ends the process. */
  readonly turns: number;
  readonly turnMs: number;
}

/**
 * Ends the process when its event loop stands still for the limit: such a process answers no probe and no signal. The watchdog is a
 * thread that counts its own turns, so the time in which the whole process is stopped does not count.
 * @param limitMs 0 for no watchdog
 * @returns a function that ends the watchdog
 */
export function watchEventLoop(limitMs: number): () => void {
  if (limitMs === 0 || inspector.url() !== undefined) return () => undefined; // a debugger stops the loop
  const beats = new SharedArrayBuffer(4);
  const view = new Int32Array(beats);
  const beat = setInterval(() => Atomics.add(view, 0, 1), BEAT_MS);
  beat.unref();
  const turnMs = Math.min(1_000, Math.max(BEAT_MS, limitMs / 10));
  const workerData: WatchdogData = { beats, turns: Math.ceil(limitMs / turnMs), turnMs };
  const thread = new Worker(join(import.meta.dirname, 'watchdog-thread.ts'), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
  });
  thread.unref();
  thread.on('error', () => undefined); // without the thread the process runs on, without a watchdog
  return () => {
    clearInterval(beat);
    void thread.terminate();
  };
}
