import { getCompileCacheDir } from 'node:module';
import { Worker as Thread } from 'node:worker_threads';
import { HeadwaterError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { Task } from '../events/tasks.ts';
import type { TaskResult } from './run-task.ts';
import type { TaskRunner, TaskRunnerOptions } from './task-runner.ts';

/** The data that a thread starts with. */
export interface ReplayThreadData {
  readonly options: TaskRunnerOptions;
  readonly compileCache: string | undefined;
}

export type ToThread = { readonly kind: 'run'; readonly task: Task } | { readonly kind: 'abort' };

export type FromThread =
  | { readonly kind: 'progress'; readonly fraction: number }
  | { readonly kind: 'done'; readonly result: TaskResult }
  | {
      readonly kind: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly retryable: boolean;
    };

const YOUNG_MB = 16;

/**
 * Runs tasks on threads, one on each at a time, so that a replay uses its core and nothing else waits for it. A thread that
 * dies fails its task (which may be retried) and is replaced at the next one.
 */
export class ReplayPool implements TaskRunner {
  readonly #options: TaskRunnerOptions;
  readonly #size: number;
  readonly #idle: Thread[] = [];
  readonly #all = new Set<Thread>();
  readonly #waiting: ((thread: Thread) => void)[] = [];

  constructor(options: TaskRunnerOptions, size: number) {
    this.#options = options;
    this.#size = size;
  }

  async run(task: Task, signal: AbortSignal, onProgress: (fraction: number) => void): Promise<TaskResult> {
    const thread = await this.#acquire();
    try {
      signal.throwIfAborted();
      return await onThread(thread, { task, signal, onProgress });
    } finally {
      this.#release(thread);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((thread) => thread.terminate()));
  }

  #acquire(): Promise<Thread> {
    const thread = this.#idle.pop() ?? (this.#all.size < this.#size ? this.#start() : undefined);
    return thread ? Promise.resolve(thread) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(thread: Thread): void {
    const next = this.#waiting.shift();
    const alive = this.#all.has(thread) ? thread : undefined;
    if (next) next(alive ?? this.#start());
    else if (alive) this.#idle.push(alive);
  }

  #start(): Thread {
    const thread = new Thread(new URL('./replay-thread.ts', import.meta.url), {
      workerData: { options: this.#options, compileCache: getCompileCacheDir() } satisfies ReplayThreadData,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB }, // buffers lie outside of it, and a larger one only holds more memory
    });
    this.#all.add(thread);
    thread.once('exit', () => {
      this.#all.delete(thread);
      const at = this.#idle.indexOf(thread);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    thread.on('error', () => undefined); // the running task gets the error too
    return thread;
  }
}

function onThread(
  thread: Thread,
  options: { task: Task; signal: AbortSignal; onProgress: (fraction: number) => void },
): Promise<TaskResult> {
  const { task, signal, onProgress } = options;
  return new Promise((resolve, reject) => {
    const abort = (): void => thread.postMessage({ kind: 'abort' } satisfies ToThread);
    const settle = (): void => {
      signal.removeEventListener('abort', abort);
      thread.off('message', onMessage).off('error', onError).off('exit', onExit);
    };
    const onMessage = (message: FromThread): void => {
      if (message.kind === 'progress') {
        onProgress(message.fraction);
        return;
      }
      settle();
      if (message.kind === 'done') resolve(message.result);
      else reject(new HeadwaterError(message.code, message.message, { retryable: message.retryable }));
    };
    const fail = (why: string, cause?: unknown): void => {
      settle();
      reject(new HeadwaterError('internal', why, { retryable: true, cause }));
    };
    const onError = (error: unknown): void => fail('a replay thread failed', error);
    const onExit = (): void => fail('a replay thread ended');
    thread.on('message', onMessage).once('error', onError).once('exit', onExit);
    signal.addEventListener('abort', abort, { once: true });
    thread.postMessage({ kind: 'run', task } satisfies ToThread);
  });
}
