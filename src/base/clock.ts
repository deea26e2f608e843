import { setTimeout as delay } from 'node:timers/promises';

/** Returns milliseconds since 1970. It is passed as an argument, so that tests can stop it. */
export type Clock = () => number;

export const systemClock: Clock = () => Date.now();

/** Waits, or rejects with an AbortError as soon as the signal fires. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal });
}

/** Exponential backoff in ms for the nth attempt (from 0), capped, with jitter of a quarter. */
export function backoff(attempt: number, random: () => number, first = 200, cap = 10_000): number {
  const base = Math.min(cap, first * 2 ** Math.min(attempt, 20));
  return Math.round(base * (0.875 + random() / 4));
}
