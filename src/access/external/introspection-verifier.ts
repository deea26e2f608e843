import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../base/clock.ts';
import { HeadwaterError } from '../../base/errors.ts';
import type { Identity, TokenVerifier } from '../identity.ts';
import { forbiddenUrl } from '../issuer/jwks-url.ts';
import type { ExternalIssuer, Introspection } from '../policy.ts';
import { identityOf } from './claims.ts';
import { MetadataSource } from './metadata.ts';

const MAX_TOKEN = 8_192;
const PATIENCE = 5_000;
/** The most answers that are kept, and in ms for how long a refusal is. */
const MAX_KEPT = 10_000;
const REFUSAL_KEPT = 5_000;

const answerSchema = z.looseObject({
  active: z.boolean(),
  iss: z.string().optional(),
  aud: z.union([z.string(), z.array(z.string())]).optional(),
  exp: z.number().optional(),
});

/** Verifies opaque access tokens by asking their issuer (RFC 7662). */
export class IntrospectionVerifier implements TokenVerifier {
  readonly issuer: string;
  readonly #settings: ExternalIssuer;
  readonly #how: Introspection;
  readonly #metadata: MetadataSource;
  /** Answers by the hash of the token; undefined for a token that is not good. */
  readonly #kept = new Map<string, { readonly until: number; readonly identity: Identity | undefined }>();

  constructor(settings: ExternalIssuer, how: Introspection, clock: Clock) {
    this.issuer = settings.issuer;
    this.#settings = settings;
    this.#how = how;
    this.#metadata = new MetadataSource(settings, clock);
  }

  async verify(token: string, now: number): Promise<Identity> {
    if (token.length > MAX_TOKEN) throw new HeadwaterError('invalid-token', 'it is too long');
    const hash = createHash('sha256').update(token).digest('base64');
    const known = this.#kept.get(hash);
    const found = known && now < known.until ? known : await this.#ask(token, now);
    if (found !== known) this.#keep(hash, found);
    if (found.identity) return found.identity;
    throw new HeadwaterError('invalid-token', `the issuer ${this.issuer} does not vouch for it`);
  }

  #keep(hash: string, answer: { readonly until: number; readonly identity: Identity | undefined }): void {
    this.#kept.delete(hash);
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value ?? '');
    this.#kept.set(hash, answer);
  }

  async #ask(
    token: string,
    now: number,
  ): Promise<{ readonly until: number; readonly identity: Identity | undefined }> {
    const { audience, issuer } = this.#settings;
    const { active, iss, aud, exp, ...claims } = await this.#answer(token);
    const good =
      active &&
      (iss === undefined || iss === issuer) &&
      [aud].flat().includes(audience) &&
      (exp === undefined || exp * 1_000 > now);
    if (!good) return { until: now + REFUSAL_KEPT, identity: undefined };
    const kept = now + this.#how.cacheSeconds * 1_000;
    return {
      until: exp === undefined ? kept : Math.min(kept, exp * 1_000),
      identity: identityOf(claims, this.#settings),
    };
  }

  async #answer(token: string): Promise<z.output<typeof answerSchema>> {
    const { introspection_endpoint: url } = await this.#metadata.read();
    const target = new URL(url ?? this.issuer);
    const trusted = this.#settings.allowedJwksHosts.includes(target.hostname);
    const why =
      url === undefined ? 'its metadata names no endpoint' : forbiddenUrl(target, target.hostname, trusted);
    if (why !== undefined) throw this.#away(why);
    const { clientId, clientSecret } = this.#how;
    const login = [clientId, clientSecret].map(encodeURIComponent).join(':');
    try {
      const response = await fetch(target, {
        ...{ method: 'POST', redirect: 'error', signal: AbortSignal.timeout(PATIENCE) },
        headers: {
          accept: 'application/json',
          authorization: `Basic ${Buffer.from(login).toString('base64')}`,
        },
        body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
      });
      if (response.status !== 200) throw new Error(`it answers ${String(response.status)}`);
      return answerSchema.parse(await response.json());
    } catch (error) {
      throw this.#away((error as Error).message);
    }
  }

  #away(why: string): HeadwaterError {
    return new HeadwaterError(
      'unavailable',
      `the issuer ${this.issuer} cannot be asked about a token: ${why}`,
    );
  }
}
