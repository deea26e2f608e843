import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

/**
 * The seal of a request: every login of the database can write to the write-ahead log, but only gateways know the secret. It covers
 * all fields but the time, which the database adds.
 */
export class RequestSeal {
  readonly #key: Buffer;

  /** @param secret the setting HEADWATER_URL_SECRET, from which the key is derived */
  constructor(secret: string) {
    this.#key = Buffer.from(hkdfSync('sha256', secret, '', 'headwater request seal', 32));
  }

  /** HMAC-SHA256 of the canonical JSON, in base64url. */
  of(request: object): string {
    return createHmac('sha256', this.#key).update(canonicalJson(request)).digest('base64url');
  }

  fits(request: object, seal: unknown): boolean {
    const right = Buffer.from(this.of(request));
    const given = Buffer.from(typeof seal === 'string' ? seal : '');
    return given.length === right.length && timingSafeEqual(given, right);
  }
}

/** JSON with sorted names and without undefined members: PostgreSQL's jsonb keeps neither their order nor white space. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
