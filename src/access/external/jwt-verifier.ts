import { decodeProtectedHeader, errors, importJWK, jwtVerify } from 'jose';
import type { JWK, JWTPayload } from 'jose';
import type { Clock } from '../../base/clock.ts';
import { HeadwaterError } from '../../base/errors.ts';
import type { Identity, TokenVerifier } from '../identity.ts';
import { KeySource } from '../key-source.ts';
import type { ExternalIssuer } from '../policy.ts';
import { checkLength } from '../token.ts';
import { identityOf } from './claims.ts';
import { MetadataSource } from './metadata.ts';

/** In s: the tolerated error of issuers' clocks. */
const TOLERANCE = 30;
const TYPES: ReadonlySet<string> = new Set(['jwt', 'at+jwt', 'application/at+jwt']);

/** Verifies access tokens that are JWT, by the keys of their issuer. */
export class JwtVerifier implements TokenVerifier {
  readonly issuer: string;
  readonly #settings: ExternalIssuer;
  readonly #metadata: MetadataSource;
  readonly #keys: KeySource;

  constructor(settings: ExternalIssuer, clock: Clock) {
    this.issuer = settings.issuer;
    this.#settings = settings;
    this.#metadata = new MetadataSource(settings, clock);
    this.#keys = new KeySource(settings.allowedJwksHosts, clock);
  }

  async verify(token: string, now: number): Promise<Identity> {
    checkLength(token);
    const { alg, kid, typ } = headerOf(token);
    // Each issuer has its own algorithms and keys, so no issuer can speak for another one.
    if (typeof kid !== 'string' || !this.#settings.algorithms.includes(alg ?? ''))
      throw new HeadwaterError('invalid-token', 'its issuer does not use this algorithm');
    if (!isAccessToken(typ)) throw new HeadwaterError('invalid-token', 'it is not an access token');
    const keys = await this.#keysOf(kid);
    const [key] = keys;
    if (!key || keys.length > 1)
      throw new HeadwaterError('invalid-token', 'no key of the issuer has its kid');
    const claims = await this.#claims(token, { key, alg: alg ?? '', now });
    // The audience of an ID token is the client, not a server.
    if ('nonce' in claims || 'at_hash' in claims)
      throw new HeadwaterError('invalid-token', 'it is an ID token');
    return identityOf(claims, this.#settings);
  }

  async #keysOf(kid: string): Promise<readonly JWK[]> {
    const metadata = await this.#metadata.read();
    try {
      if (metadata.jwks_uri !== undefined) return await this.#keys.keysOf(metadata.jwks_uri, kid);
    } catch (error) {
      this.#metadata.forget(metadata); // the keys may have moved
      throw error;
    }
    this.#metadata.forget(metadata);
    throw new HeadwaterError('unavailable', `the issuer ${this.issuer} names no keys in its metadata`);
  }

  async #claims(
    token: string,
    { key, alg, now }: { readonly key: JWK; readonly alg: string; readonly now: number },
  ): Promise<JWTPayload> {
    const { issuer, audience } = this.#settings;
    try {
      const { payload } = await jwtVerify(token, await importJWK(key, alg), {
        ...{ algorithms: [alg], issuer, audience, requiredClaims: ['exp'] },
        ...{ clockTolerance: TOLERANCE, currentDate: new Date(now) },
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new HeadwaterError('expired-token', 'it has expired');
      throw new HeadwaterError('invalid-token', (error as Error).message, { cause: error });
    }
  }
}

/** @param typ from an unverified header, where it may be any value */
function isAccessToken(typ: unknown): boolean {
  return typ === undefined || (typeof typ === 'string' && TYPES.has(typ.toLowerCase()));
}

function headerOf(token: string): ReturnType<typeof decodeProtectedHeader> {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw new HeadwaterError('invalid-token', 'it is not a JWT');
  }
}
