import type { Logger } from '../base/service.ts';

/** ms. A process ends within this time after a signal or a fatal error, even if something hangs. */
const PATIENCE = 8_000;
/** ms. After this time the process ends although something is open, such as a socket. */
const LEFTOVERS = 500;

/** Rejects when the signal fires. The work goes on; its caller no longer waits for it. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject }: PromiseWithResolvers<never> = Promise.withResolvers();
  const abort = (): void => reject(signal.reason as Error);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', abort));
}

/** Waits until the services have ended. After a time limit from the signal it stops waiting and logs the names of the others. */
export async function untilEnded(
  ending: Promise<unknown>,
  options: {
    readonly signal: AbortSignal;
    readonly logger: Logger;
    readonly unended: () => readonly string[];
  },
): Promise<void> {
  const { signal, logger, unended } = options;
  const { promise, resolve }: PromiseWithResolvers<void> = Promise.withResolvers();
  let timer: NodeJS.Timeout | undefined;
  const begin = (): void => {
    timer = setTimeout(() => {
      logger.error({ services: unended() }, `the process ends without waiting for ${unended().join(', ')}`);
      resolve();
    }, PATIENCE);
  };
  if (signal.aborted) begin();
  else signal.addEventListener('abort', begin, { once: true });
  try {
    await Promise.race([ending, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', begin);
  }
}

/** Ends the process with the exit code that was set: at once if nothing is open, otherwise after a short time. */
export function endProcess(): void {
  setTimeout(() => process.exit(), LEFTOVERS).unref();
}
