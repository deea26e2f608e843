import type { JSONWebKeySet, JWK } from 'jose';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { fetchDocument } from './fetch-document.ts';
import type { Fetched } from './fetch-document.ts';

const MAX_KEYS = 100;
/** In ms: for how long keys are kept when their server does not say, and at most. */
const KEPT = 300_000;
const KEPT_AT_MOST = 3_600_000;
/** In ms: after a fetch, an unknown key leads to no other fetch of the same URL for so long. */
const PAUSE = 30_000;

const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(MAX_KEYS) });

/** Keys that have come. */
interface Kept {
  readonly set: JSONWebKeySet;
  /** ms since 1970, until which they may be used. */
  readonly until: number;
}

/** The public keys at URLs, kept as long as their servers allow. */
export class KeySource {
  readonly #allowedHosts: readonly string[];
  readonly #clock: Clock;
  readonly #fetch: (url: string, allowedHosts: readonly string[]) => Promise<Fetched>;
  readonly #kept = new Map<string, Kept>();
  /** When each URL was asked last, in ms since 1970. */
  readonly #askedAt = new Map<string, number>();
  readonly #asking = new Map<string, Promise<Kept>>();

  constructor(allowedHosts: readonly string[], clock: Clock, fetch = fetchDocument) {
    this.#allowedHosts = allowedHosts;
    this.#clock = clock;
    this.#fetch = fetch;
  }

  /**
   * Returns the keys of an id. For an id that is not among the kept keys it asks again, since keys are rotated; but not often, since
   * attackers make ids up. Throws `unavailable` if the keys cannot be had; good keys stay good meanwhile.
   */
  async keysOf(url: string, kid: string): Promise<readonly JWK[]> {
    const now = this.#clock();
    const kept = this.#kept.get(url);
    const known = kept ? matching(kept.set, kid) : [];
    if (kept && now < kept.until && known.length > 0) return known;
    const askedLately = now - (this.#askedAt.get(url) ?? -Infinity) < PAUSE;
    if (kept && known.length === 0 && askedLately) return [];
    return matching((await this.#ask(url, now)).set, kid);
  }

  /** Several that ask at once share one fetch. */
  #ask(url: string, now: number): Promise<Kept> {
    const asking = this.#asking.get(url);
    if (asking) return asking;
    this.#askedAt.set(url, now);
    const asked = this.#read(url, now).finally(() => this.#asking.delete(url));
    this.#asking.set(url, asked);
    return asked;
  }

  async #read(url: string, now: number): Promise<Kept> {
    const { text, cacheControl } = await this.#fetch(url, this.#allowedHosts);
    const kept = { set: publicKeys(text, url), until: now + keptFor(cacheControl) };
    this.#kept.set(url, kept);
    return kept;
  }
}

function matching({ keys }: JSONWebKeySet, kid: string): JWK[] {
  return keys.filter((key) => key.kid === kid);
}

/** Parses a set of public keys. Throws `unavailable` for what is none: its owner has to mend it. */
export function publicKeys(text: string, place: string): JSONWebKeySet {
  const refuse = (why: string): HeadwaterError =>
    new HeadwaterError('unavailable', `the keys at ${place} are not usable: ${why}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw refuse('they are not JSON');
  }
  const parsed = keySet.safeParse(json);
  if (!parsed.success) throw refuse(parsed.error.issues[0]?.message ?? 'they are no JWK Set');
  const secret = parsed.data.keys.find((key) => key.kty === 'oct' || 'd' in key || 'k' in key);
  if (secret) throw refuse('one of them is secret; a JWK Set is for public keys');
  return parsed.data;
}

/** In ms. */
function keptFor(cacheControl = ''): number {
  if (/\bno-(?:store|cache)\b/i.test(cacheControl)) return 0;
  const seconds = /\bmax-age\s*=\s*"?(\d{1,9})/i.exec(cacheControl)?.[1];
  return seconds === undefined ? KEPT : Math.min(Number(seconds) * 1_000, KEPT_AT_MOST);
}
