import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** For one thing that has to happen, on a machine that does much else. */
export const PATIENCE_MS = 120_000;

/** Asks until there is an answer, where there is no event to wait for. */
export async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    assert(Date.now() < deadline, `nothing came of it in ${PATIENCE_MS / 1000} s: ${ask.toString()}`);
    await delay(100);
  }
}
