import type { JSONWebKeySet, JWK } from 'jose';
import { z } from 'zod';
import type { Clock } from '../../base/clock.ts';
import { HeadwaterError } from '../../base/errors.ts';
import { fetchDocument } from './jwks-url.ts';
import type { Fetched } from './jwks-url.ts';

const MAX_KEYS = 100;
/** In ms: for how long keys are kept when their server does not say, and at most. */
const KEPT = 300_000;
const KEPT_AT_MOST = 3_600_000;
/** In ms: after a fetch, an unknown key leads to no other fetch of the same URL for so long. */
const PAUSE = 30_000;

const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(MAX_KEYS) });

/** The public keys at URLs, kept as long as their servers allow. */
export class KeySource {
  readonly #allowedHosts: readonly string[];
  readonly #clock: Clock;
  readonly #fetch: (url: string, allowedHosts: readonly string[]) => Promise<Fetched>;
  readonly #known = new Map<string, Kept>();

  constructor(allowedHosts: readonly string[], clock: Clock, fetch = fetchDocument) {
    this.#allowedHosts = allowedHosts;
    this.#clock = clock;
    this.#fetch = fetch;
  }

  /**
   * Returns the keys of an id. For an id that is not among the kept keys it asks again, since keys are rotated; but not often, since
   * attackers make ids up. Throws `unavailable` if the keys cannot be had.
   */
  async keysOf(url: string, kid: string): Promise<readonly JWK[]> {
    const now = this.#clock();
    let kept = this.#known.get(url);
    if (kept?.settled && now - kept.askedAt < PAUSE && !kept.kids.has(kid)) return [];
    if (!kept || now >= kept.until) kept = this.#ask(url, now);
    let keys = matching(await kept.keys, kid);
    if (keys.length === 0 && now - kept.askedAt >= PAUSE) {
      kept = this.#ask(url, now);
      keys = matching(await kept.keys, kid);
    }
    return keys;
  }

  /** Several that ask at once share one fetch. */
  #ask(url: string, now: number): Kept {
    const before = this.#known.get(url);
    if (before && !before.settled) return before;
    const kept: Kept = {
      askedAt: now,
      until: now + PAUSE,
      settled: false,
      kids: new Set(),
      keys: this.#read(url, now),
    };
    this.#known.set(url, kept);
    kept.keys
      .then(() => {
        kept.settled = true;
      })
      .catch(() => {
        this.#known.delete(url); // the next one tries again
      });
    return kept;
  }

  async #read(url: string, now: number): Promise<JSONWebKeySet> {
    const { text, cacheControl } = await this.#fetch(url, this.#allowedHosts);
    const keys = publicKeys(text, url);
    const kept = this.#known.get(url);
    if (kept) {
      kept.until = now + keptFor(cacheControl);
      kept.kids = new Set(keys.keys.map((key) => key.kid));
    }
    return keys;
  }
}

interface Kept {
  readonly askedAt: number;
  until: number;
  /** Whether the keys have come. */
  settled: boolean;
  /** Ids of the keys that came. */
  kids: ReadonlySet<string | undefined>;
  readonly keys: Promise<JSONWebKeySet>;
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
