import type { StackOptions } from './contract.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * What interrupts a stack: the caller's signal, or else the process's own Ctrl-C and friends. Those first abort a start
 * that is under way, then `stop` is run, then the signal is sent again with nobody listening, which ends the process.
 */
export class Interruption {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #release: () => void;
  #stop: (() => Promise<void>) | undefined;

  constructor(options: Pick<StackOptions, 'signal'>) {
    if (options.signal) {
      this.signal = options.signal;
      this.#release = () => undefined;
      return;
    }
    this.signal = this.#controller.signal;
    const onSignal = (name: NodeJS.Signals): void => {
      this.#controller.abort(new Error(`interrupted by ${name}`));
      if (!this.#stop) return; // the start that is under way ends what it started, and throws
      void this.#stop()
        .catch(() => undefined)
        .finally(() => {
          this.release();
          process.kill(process.pid, name);
        });
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

  release(): void {
    this.#release();
  }
}
