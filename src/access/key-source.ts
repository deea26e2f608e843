import type { JSONWebKeySet, JWK } from 'jose';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { fetchDocument } from './fetch-document.ts';
import type { Fetched } from './fetch-document.ts';

const MAX_KEYS = 100;
/** In ms: the lifetime of kept keys without Cache-Control, and the longest one. */
const KEPT = 300_000;
const KEPT_AT_MOST = 3_600_000;
/** In ms: the pause after a fetch in which an unknown key causes no further fetch of the same URL. */
const PAUSE = 30_000;

const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(MAX_KEYS) });

/** Keys that were fetched. */
interface Kept {
  readonly set: JSONWebKeySet;
  /** The end of their lifetime, in ms since 1970. */
  readonly until: number;
}

/** Fetches public keys from URLs and keeps them for as long as their servers allow. */
export class KeySource {
  readonly #allowedHosts: readonly string[];
  readonly #clock: Clock;
  readonly #fetch: (url: string, allowedHosts: readonly string[]) => Promise<Fetched>;
  readonly #kept = new Map<string, Kept>();
  /** The time of the last fetch of each URL, in ms since 1970. */
  readonly #askedAt = new Map<string, number>();
  readonly #asking = new Map<string, Promise<Kept>>();

  constructor(allowedHosts: readonly string[], clock: Clock, fetch = fetchDocument) {
    this.#allowedHosts = allowedHosts;
    this.#clock = clock;
    this.#fetch = fetch;
  }

  /**
   * Returns the keys with an id. If no kept key has the id, it fetches the keys again, because their owner may have rotated them. A pause
   * limits these fetches, because attackers can invent ids. Throws `unavailable` if a fetch fails; the kept keys stay in use.
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

  /** Calls at the same time share one fetch. */
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

/** Parses a set of public keys. Throws `unavailable` for any other text: its owner has to correct it. */
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

/** Returns the lifetime of keys in ms. */
function keptFor(cacheControl = ''): number {
  if (/\bno-(?:store|cache)\b/i.test(cacheControl)) return 0;
  const seconds = /\bmax-age\s*=\s*"?(\d{1,9})/i.exec(cacheControl)?.[1];
  return seconds === undefined ? KEPT : Math.min(Number(seconds) * 1_000, KEPT_AT_MOST);
}
