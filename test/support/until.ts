import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../src/base/errors.ts';

/** ms; longest wait for one thing on a busy machine. */
export const PATIENCE_MS = 120_000;

/**
 * Asks until the answer is neither undefined nor false, and returns the answer. An error counts as "not yet", because some tests
 * take servers away. After the time limit, throws an error that names what it waited for and the last error.
 */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  { timeoutMs = PATIENCE_MS, everyMs = 25 }: { readonly timeoutMs?: number; readonly everyMs?: number } = {},
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      failure = error;
    }
    if (Date.now() > deadline) {
      const reason = failure === undefined ? '' : `: ${messageOf(failure)}`;
      throw new Error(`Waited ${timeoutMs} ms for ${what}${reason}`, { cause: failure });
    }
    await delay(everyMs);
  }
}
