import { z } from 'zod';
import type { Clock } from '../../base/clock.ts';
import { HeadwaterError } from '../../base/errors.ts';
import { fetchDocument } from '../fetch-document.ts';
import type { ExternalIssuer } from '../policy.ts';

/** The parts of an issuer's metadata that are used (RFC 8414, OpenID Connect Discovery). */
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

/** In ms, for which metadata is kept. */
const KEPT = 3_600_000;

/** The metadata of an issuer, fetched when it is first needed: a start does not wait for it. */
export class MetadataSource {
  readonly #issuer: Pick<ExternalIssuer, 'issuer' | 'allowedJwksHosts'>;
  readonly #clock: Clock;
  #kept: { readonly until: number; readonly metadata: Promise<IssuerMetadata> } | undefined;
  /** The metadata that came last. */
  #found: IssuerMetadata | undefined;

  constructor(issuer: Pick<ExternalIssuer, 'issuer' | 'allowedJwksHosts'>, clock: Clock) {
    this.#issuer = issuer;
    this.#clock = clock;
  }

  /** Throws `unavailable` while it cannot be had. */
  read(): Promise<IssuerMetadata> {
    const now = this.#clock();
    if (this.#kept && now < this.#kept.until) return this.#kept.metadata;
    const kept = { until: now + KEPT, metadata: this.#fetch() };
    this.#kept = kept;
    kept.metadata.then(
      (metadata) => {
        this.#found = metadata;
      },
      () => {
        if (this.#kept === kept) this.#kept = undefined; // the next one tries again
      },
    );
    return kept.metadata;
  }

  /** Fetches metadata again when it is next needed, because an endpoint that it names does not work. */
  forget(metadata: IssuerMetadata): void {
    if (metadata !== this.#found) return; // another request has found it again
    this.#found = undefined;
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
        failure = new HeadwaterError('unavailable', `${place} is of the issuer ${metadata.issuer}`);
      } catch (error) {
        failure = error;
      }
    }
    throw new HeadwaterError('unavailable', `the metadata of the issuer ${issuer} cannot be had`, {
      cause: failure,
    });
  }
}
