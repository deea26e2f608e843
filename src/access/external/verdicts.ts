import { createHash } from 'node:crypto';
import type { HeadwaterError } from '../../base/errors.ts';
import type { Identity } from '../identity.ts';

const MAX_KEPT = 10_000;

/** An issuer's answer about a token: an identity, or the reason of the refusal. */
export interface Verdict {
  /** The end of its lifetime, in ms since 1970. */
  readonly until: number;
  readonly result: Identity | HeadwaterError;
}

/** Keeps the verdicts on the latest 10,000 tokens. It holds hashes of the tokens, not the tokens. */
export class Verdicts {
  readonly #byHash = new Map<string, Verdict>();

  /** @param now ms since 1970 */
  find(token: string, now: number): Verdict | undefined {
    const verdict = this.#byHash.get(hashOf(token));
    return verdict && now < verdict.until ? verdict : undefined;
  }

  keep(token: string, verdict: Verdict): void {
    const hash = hashOf(token);
    this.#byHash.delete(hash); // so that it becomes the latest
    const [oldest] = this.#byHash.keys();
    if (this.#byHash.size >= MAX_KEPT && oldest !== undefined) this.#byHash.delete(oldest);
    this.#byHash.set(hash, verdict);
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
