import { z } from 'zod';
import type { Clock } from '../../base/clock.ts';
import { HeadwaterError } from '../../base/errors.ts';
import { fetchDocument } from '../fetch-document.ts';
import type { ExternalIssuer } from '../policy.ts';

/** The members of an issuer's metadata that Headwater uses (RFC 8414, OpenID Connect Discovery). */
export interface IssuerMetadata {
  readonly issuer: string;
  readonly jwks_uri?: string | undefined;
  readonly introspection_endpoint?: string | undefined;
  readonly token_endpoint?: string | undefined;
}

const schema = z.object({
  issuer: z.string(),
  jwks_uri: z.url().optional(),
  introspection_endpoint: z.url().optional(),
  token_endpoint: z.url().optional(),
});

/** In ms: the lifetime of kept metadata. */
const KEPT = 3_600_000;

/** Fetches the metadata of an issuer when a request first needs it, so the start of the gateway does not wait for the issuer. */
export class MetadataSource {
  readonly #issuer: Pick<ExternalIssuer, 'issuer' | 'allowedJwksHosts'>;
  readonly #clock: Clock;
  #kept: { readonly until: number; readonly metadata: Promise<IssuerMetadata> } | undefined;
  /** The metadata of the last fetch. */
  #latest: IssuerMetadata | undefined;

  constructor(issuer: Pick<ExternalIssuer, 'issuer' | 'allowedJwksHosts'>, clock: Clock) {
    this.#issuer = issuer;
    this.#clock = clock;
  }

  /** Throws `unavailable` while the issuer does not answer with its metadata. */
  read(): Promise<IssuerMetadata> {
    const now = this.#clock();
    if (this.#kept && now < this.#kept.until) return this.#kept.metadata;
    const kept = { until: now + KEPT, metadata: this.#fetch() };
    this.#kept = kept;
    kept.metadata.then(
      (metadata) => {
        this.#latest = metadata;
      },
      () => {
        if (this.#kept === kept) this.#kept = undefined; // the next call tries again
      },
    );
    return kept.metadata;
  }

  /** Makes the next `read` fetch the metadata again. Called when an endpoint that it names does not work. */
  forget(metadata: IssuerMetadata): void {
    if (metadata !== this.#latest) return; // another request has fetched it again
    this.#latest = undefined;
    this.#kept = undefined;
  }

  async #fetch(): Promise<IssuerMetadata> {
    const { issuer, allowedJwksHosts } = this.#issuer;
    const base = new URL(issuer);
    const path = base.pathname.replace(/\/$/, '');
    const places = [
      `${base.origin}${path}/.well-known/openid-configuration`,
      `${base.origin}/.well-known/oauth-authorization-server${path}`,
    ];
    let failure: unknown;
    for (const place of places) {
      try {
        const { text } = await fetchDocument(place, allowedJwksHosts);
        const metadata = schema.parse(JSON.parse(text));
        if (metadata.issuer === issuer) return metadata;
        failure = new HeadwaterError('unavailable', `${place} describes the issuer ${metadata.issuer}`);
      } catch (error) {
        failure = error;
      }
    }
    throw new HeadwaterError('unavailable', `cannot fetch the metadata of the issuer ${issuer}`, {
      cause: failure,
    });
  }
}
