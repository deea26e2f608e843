import { HeadwaterError, messageOf } from '../src/base/errors.ts';
import type { UsageMeter } from './usage.ts';

export interface PhasesOptions {
  readonly meter: UsageMeter;
  /** Fires when the benchmark must end: Ctrl-C, or a role has died. */
  readonly signal: AbortSignal;
  /** Of every phase. */
  readonly limitMs: number;
  report(line: string): void;
}

/** Runs the parts of a benchmark one after the other: each is announced, measured, and never takes longer than its limit. */
export class Phases {
  readonly #options: PhasesOptions;

  constructor(options: PhasesOptions) {
    this.#options = options;
  }

  /** Signal for work between phases. */
  get signal(): AbortSignal {
    return AbortSignal.any([this.#options.signal, AbortSignal.timeout(this.#options.limitMs)]);
  }

  report(line: string): void {
    this.#options.report(line);
  }

  async run<T>(phase: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { meter, limitMs, signal, report } = this.#options;
    signal.throwIfAborted();
    const limit = new AbortController();
    const timer = setTimeout(() => {
      limit.abort(new HeadwaterError('unavailable', `not done after ${Math.round(limitMs / 1000)} s`));
    }, limitMs);
    const begun = performance.now();
    const all = AbortSignal.any([signal, limit.signal]);
    try {
      const result = await meter.during(phase, () => orAborted(work(all), all));
      report(`${phase}: ${((performance.now() - begun) / 1000).toFixed(2)} s`);
      return result;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      const cause = limit.signal.aborted ? (limit.signal.reason as Error) : error;
      throw new Error(`${phase}: ${messageOf(cause)}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Stops waiting at the limit, even if the work does not listen to its signal. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
    work.catch(() => undefined);
  }
}
