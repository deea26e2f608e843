import type { StackOptions } from './contract.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Interrupts a stack: by the caller's signal or, without one, by SIGINT, SIGTERM and SIGHUP. A signal of the process aborts a
 * running start, or runs `stop`. Then this stops listening and sends the signal again, which ends the process.
 */
export class Interruption {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #release: () => void;
  #stop: (() => Promise<void>) | undefined;
  #received: NodeJS.Signals | undefined;

  constructor(options: Pick<StackOptions, 'signal'>) {
    if (options.signal) {
      this.signal = options.signal;
      this.#release = () => undefined;
      return;
    }
    this.signal = this.#controller.signal;
    const onSignal = (name: NodeJS.Signals): void => {
      this.#received = name;
      this.#controller.abort(new Error(`interrupted by ${name}`));
      // Before `started`, the running start ends the servers that it started, and calls `ended`.
      void this.#stop?.()
        .catch(() => undefined)
        .finally(() => this.ended());
    };
    for (const name of SIGNALS) process.on(name, onSignal);
    this.#release = () => {
      for (const name of SIGNALS) process.off(name, onSignal);
    };
  }

  /** The stack runs. From now on, an interruption calls `stop`. */
  started(stop: () => Promise<void>): void {
    this.#stop = stop;
  }

  /** The stack has stopped, or could not start. */
  ended(): void {
    this.#release();
    const name = this.#received;
    this.#received = undefined;
    if (name) process.kill(process.pid, name);
  }
}
