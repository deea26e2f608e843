import { hkdfSync, randomUUID } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import { HeadwaterError } from '../../base/errors.ts';
import type { Identity, TokenVerifier } from '../identity.ts';
import type { AccessPolicy } from '../policy.ts';
import { checkLength } from '../token.ts';

/** Derives the key that signs access tokens. Only gateways know it. */
export function tokenKey(secret: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, '', 'headwater access token', 32));
}

/** @param issuer the base URL, which is both issuer and audience of the token */
export async function makeAccessToken(
  { clientId, scope }: { readonly clientId: string; readonly scope: string },
  {
    issuer,
    key,
    expiresIn,
    now,
  }: {
    readonly issuer: string;
    readonly key: Uint8Array;
    /** s */
    readonly expiresIn: number;
    /** ms since 1970 */
    readonly now: number;
  },
): Promise<{ readonly token: string; readonly tokenId: string }> {
  const tokenId = randomUUID();
  const seconds = Math.floor(now / 1_000);
  const token = await new SignJWT({ scope, client_id: clientId })
    .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
    .setIssuer(issuer)
    .setAudience(issuer)
    .setSubject(clientId)
    .setJti(tokenId)
    .setIssuedAt(seconds)
    .setExpirationTime(seconds + expiresIn)
    .sign(key);
  return { token, tokenId };
}

/** Verifies the tokens of Headwater's own token endpoint. The roles and attributes of a client come from the present access file. */
export class EmbeddedVerifier implements TokenVerifier {
  readonly issuer: string;
  readonly #key: Uint8Array;
  readonly #policy: () => AccessPolicy;

  constructor(issuer: string, key: Uint8Array, policy: () => AccessPolicy) {
    this.issuer = issuer;
    this.#key = key;
    this.#policy = policy;
  }

  async verify(token: string, now: number): Promise<Identity> {
    const { client_id: id, scope, jti } = await this.#claims(token, now);
    const client = typeof id === 'string' ? this.#policy().clients.get(id) : undefined;
    if (typeof id !== 'string' || !client || typeof scope !== 'string')
      throw new HeadwaterError('invalid-token', 'its client is not registered');
    if (client.disabled) throw new HeadwaterError('forbidden', 'this client is disabled');
    return {
      ...{ issuer: this.issuer, client: id, subject: undefined, patient: undefined, tokenId: jti },
      ...{ roles: client.roles, attributes: client.attributes, scopes: scope.split(' ') },
    };
  }

  async #claims(token: string, now: number) {
    checkLength(token);
    try {
      const { payload } = await jwtVerify(token, this.#key, {
        ...{ algorithms: ['HS256'], typ: 'at+jwt', issuer: this.issuer, audience: this.issuer },
        requiredClaims: ['exp', 'client_id', 'scope'],
        currentDate: new Date(now),
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new HeadwaterError('expired-token', 'it has expired');
      throw new HeadwaterError('invalid-token', (error as Error).message, { cause: error });
    }
  }
}
