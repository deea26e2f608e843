import { HeadwaterError, messageOf } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';

/** An operation of a store, as an error message names it. */
export type Step = 'write' | 'read' | 'list' | 'delete' | 'sign';

/** The meaning of a store's answer, and the advice to the operator. */
export interface Meaning {
  readonly code: Extract<ErrorCode, 'refused' | 'bad-config' | 'unavailable' | 'not-found'>;
  readonly advice: string;
}

/** The error of one step, which names the step, the place, what the store answered, and what to change. */
export function storageError(
  step: Step,
  where: string,
  { code, advice }: Meaning,
  error: unknown,
): HeadwaterError {
  const answer = answerOf(error);
  return new HeadwaterError(code, `cannot ${step} ${where}: ${advice}${answer}`, { cause: error });
}

/** The store's own words, in parentheses and on one line. They hold no secret: stores name keys and codes only. */
function answerOf(error: unknown): string {
  const { name } = error as { name?: unknown };
  const words = messageOf(error).split('\n', 1)[0]?.trim() ?? '';
  const label = typeof name === 'string' && name !== 'Error' && !words.includes(name) ? `${name}: ` : '';
  return ` (${label}${words.slice(0, 300)})`;
}

/** Whether the same request may succeed later: the answer says so, or there was none. */
export function isBusy(error: unknown, status: number | undefined): boolean {
  if (status !== undefined) return status === 408 || status === 429 || (status >= 500 && status !== 501);
  const { name, code } = error as { name?: unknown; code?: unknown };
  return name === 'TimeoutError' || (typeof code === 'string' && /^E[A-Z_]+$/.test(code));
}
