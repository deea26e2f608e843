import type { StackOptions } from './contract.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * What interrupts a stack: the caller's signal, or else the process's own Ctrl-C and friends. Those abort a start that is
 * under way, or run `stop`; then the signal is sent again with nobody of this listening, which ends the process.
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
      // Without a `stop`, the start that is under way ends what it started, and calls `ended`.
      void this.#stop?.()
        .catch(() => undefined)
        .finally(() => this.ended());
    };
    for (const name of SIGNALS) process.on(name, onSignal);
    this.#release = () => {
      for (const name of SIGNALS) process.off(name, onSignal);
    };
  }

  /** From now on, an interruption runs this. */
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
