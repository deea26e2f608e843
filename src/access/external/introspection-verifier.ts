import { z } from 'zod';
import type { Clock } from '../../base/clock.ts';
import { HeadwaterError, messageOf } from '../../base/errors.ts';
import type { Identity, TokenVerifier } from '../identity.ts';
import { fetchDocument } from '../fetch-document.ts';
import type { ExternalIssuer, Introspection } from '../policy.ts';
import { checkLength } from '../token.ts';
import { identityOf } from './claims.ts';
import { MetadataSource } from './metadata.ts';
import { Verdicts } from './verdicts.ts';
import type { Verdict } from './verdicts.ts';

/** In ms: the lifetime of a kept refusal. */
const REFUSAL_KEPT = 5_000;

const answerSchema = z.looseObject({
  active: z.boolean(),
  iss: z.string().optional(),
  aud: z.union([z.string(), z.array(z.string())]).optional(),
  exp: z.number().optional(),
});

type Answer = z.output<typeof answerSchema>;

/** Verifies opaque access tokens by asking their issuer (RFC 7662). */
export class IntrospectionVerifier implements TokenVerifier {
  readonly issuer: string;
  readonly #settings: ExternalIssuer;
  readonly #introspection: Introspection;
  readonly #metadata: MetadataSource;
  readonly #kept = new Verdicts();
  /** Unanswered questions, by token. */
  readonly #asked = new Map<string, Promise<Verdict>>();

  constructor(settings: ExternalIssuer, introspection: Introspection, clock: Clock) {
    this.issuer = settings.issuer;
    this.#settings = settings;
    this.#introspection = introspection;
    this.#metadata = new MetadataSource(settings, clock);
  }

  async verify(token: string, now: number): Promise<Identity> {
    checkLength(token);
    const { result } = this.#kept.find(token, now) ?? (await this.#ask(token, now));
    if (result instanceof HeadwaterError) throw result;
    return result;
  }

  /** Several requests with the same token share one question. */
  #ask(token: string, now: number): Promise<Verdict> {
    const before = this.#asked.get(token);
    if (before) return before;
    const asked = this.#answer(token)
      .then((answer) => {
        const verdict = this.#verdict(answer, now);
        this.#kept.keep(token, verdict);
        return verdict;
      })
      .finally(() => this.#asked.delete(token));
    this.#asked.set(token, asked);
    return asked;
  }

  #verdict(answer: Answer, now: number): Verdict {
    const until = Math.min(now + this.#introspection.cacheSeconds * 1_000, (answer.exp ?? Infinity) * 1_000);
    try {
      return { until, result: this.#identityOf(answer, now) };
    } catch (error) {
      if (error instanceof HeadwaterError) return { until: now + REFUSAL_KEPT, result: error };
      throw error;
    }
  }

  /** Throws `invalid-token` for an answer that does not vouch for the token, or has claims of a wrong form. */
  #identityOf({ active, iss, aud, exp, ...claims }: Answer, now: number): Identity {
    const { audience, issuer } = this.#settings;
    const good =
      active &&
      (iss === undefined || iss === issuer) &&
      [aud].flat().includes(audience) &&
      (exp === undefined || exp * 1_000 > now);
    if (good) return identityOf(claims, this.#settings);
    throw new HeadwaterError('invalid-token', `the issuer ${issuer} does not vouch for it`);
  }

  async #answer(token: string): Promise<Answer> {
    const metadata = await this.#metadata.read();
    const { clientId, clientSecret } = this.#introspection;
    const login = [clientId, clientSecret].map(encodeURIComponent).join(':');
    try {
      const { introspection_endpoint: url } = metadata;
      if (url === undefined) throw new Error('its metadata names no endpoint');
      const { status, text } = await fetchDocument(url, this.#settings.allowedJwksHosts, {
        authorization: `Basic ${Buffer.from(login).toString('base64')}`,
        form: new URLSearchParams({ token, token_type_hint: 'access_token' }),
      });
      // Some issuers answer 400 to a token that does not have the form of their tokens.
      return status === 400 ? { active: false } : answerSchema.parse(JSON.parse(text));
    } catch (error) {
      this.#metadata.forget(metadata); // the endpoint may have moved
      throw new HeadwaterError(
        'unavailable',
        `cannot ask the issuer ${this.issuer} about a token: ${messageOf(error)}`,
      );
    }
  }
}
