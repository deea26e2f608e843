import { parentPort } from 'node:worker_threads';
import { systemClock } from '../base/clock.ts';
import { HeadwaterError, messageOf, remedyFor } from '../base/errors.ts';
import type { FromThread, ToThread } from './replay-pool.ts';
import { LocalRunner } from './task-runner.ts';
import type { TaskRunnerOptions } from './task-runner.ts';

/** Pause between two progress messages, in ms: a message to another thread costs more than some batches. */
const PROGRESS_INTERVAL = 250;

/** The body of a replay thread: runs one task at a time. */
export function serveTasks(options: TaskRunnerOptions): void {
  const port = parentPort;
  if (!port) throw new HeadwaterError('internal', 'tasks are served on worker threads only');
  const runner = new LocalRunner(options);
  const send = (message: FromThread): void => port.postMessage(message);
  let running = new AbortController();
  const run = async ({ task }: Extract<ToThread, { kind: 'run' }>): Promise<void> => {
    running = new AbortController();
    try {
      let reported = systemClock();
      const onProgress = (fraction: number): void => {
        if (systemClock() - reported < PROGRESS_INTERVAL) return;
        reported = systemClock();
        send({ kind: 'progress', fraction });
      };
      send({ kind: 'done', result: await runner.run(task, running.signal, onProgress) });
    } catch (error) {
      send(failed(error));
    }
  };
  port.on('message', (message: ToThread) => {
    if (message.kind === 'run') void run(message);
    else running.abort();
  });
}

/** Returns a message from which the pool makes the error again. An error that may pass gets a code that says so. */
export function failed(error: unknown): Extract<FromThread, { kind: 'failed' }> {
  const message = messageOf(error);
  if (error instanceof HeadwaterError)
    return { kind: 'failed', code: error.code, message, retryable: error.retryable };
  const passes = remedyFor(error) === 'retry';
  return { kind: 'failed', code: passes ? 'unavailable' : 'internal', message, retryable: passes };
}
