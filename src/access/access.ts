import { HeadwaterError, messageOf } from '../base/errors.ts';
import { sleep } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/service.ts';
import type { ExportParameters } from '../events/request.ts';
import { readAccessFile } from './access-file.ts';
import { IntrospectionVerifier } from './external/introspection-verifier.ts';
import { JwtVerifier } from './external/jwt-verifier.ts';
import { MetadataSource } from './external/metadata.ts';
import { resolveGrant } from './grants.ts';
import type { Granted } from './grants.ts';
import type { Identity, TokenVerifier } from './identity.ts';
import { EmbeddedVerifier, tokenKey } from './issuer/access-token.ts';
import { KeySource } from './key-source.ts';
import { issueToken } from './issuer/token-endpoint.ts';
import type { TokenAnswer } from './issuer/token-endpoint.ts';
import type { UsedAssertions } from './issuer/used-assertions.ts';
import { permittedGroups } from './permitted-groups.ts';
import type { PermittedGroups } from './permitted-groups.ts';
import type { AccessPolicy } from './policy.ts';
import { issuerOf } from './token.ts';

export interface AccessOptions {
  /** Path of the access file. */
  readonly file: string;
  /** The setting HEADWATER_KEYS_FOLDER. */
  readonly keysFolder?: string | undefined;
  /** The base URL, such as `https://export.example.org/fhir`: the issuer of our tokens and their audience. */
  readonly baseUrl: string;
  /** The setting HEADWATER_URL_SECRET. */
  readonly secret: string;
  readonly used: Pick<UsedAssertions, 'use'>;
  /** Called by `watch` with the sha256 of each access file that came into force; again if it fails. */
  readonly onPolicy?: ((hash: string) => Promise<void>) | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** In ms: the pause between two reads of the access file. */
const READ_EVERY = 2_000;

/** Authenticates clients and resolves their rights by the present access file. */
export class Access {
  readonly #options: AccessOptions;
  readonly #key: Uint8Array;
  #policy: AccessPolicy;
  #keySource: KeySource;
  #verifiers: readonly TokenVerifier[];
  #metadata: MetadataSource | undefined;
  #problem: string | undefined;
  /** Policies that came into force and that `onPolicy` has not stored. */
  readonly #untold: string[];

  private constructor(options: AccessOptions, policy: AccessPolicy) {
    this.#options = options;
    this.#key = tokenKey(options.secret);
    this.#policy = policy;
    this.#untold = [policy.hash];
    this.#keySource = keySourceOf(policy, options.clock);
    this.#metadata = metadataOf(policy, options.clock);
    this.#verifiers = this.#verifiersOf(policy);
  }

  /** Throws `bad-config` for a file that is missing or wrong. */
  static async open(options: AccessOptions): Promise<Access> {
    return new Access(options, await readAccessFile(options.file, options.keysFolder));
  }

  /** The reason why the present file is not in force; undefined if it is. */
  get problem(): string | undefined {
    return this.#problem;
  }

  get tokenUrl(): string {
    return `${this.#options.baseUrl}/auth/token`;
  }

  /**
   * Returns the metadata of SMART (https://hl7.org/fhir/smart-app-launch/conformance.html). The token endpoint is Headwater's own or, if
   * only external issuers issue tokens, that of the first of them. Throws `unavailable` while it cannot fetch the metadata of that issuer.
   */
  async smartConfiguration(): Promise<object> {
    const { embedded, external } = this.#policy;
    const [first] = external;
    return {
      ...(embedded || !first
        ? { issuer: this.#options.baseUrl, token_endpoint: this.tokenUrl }
        : { issuer: first.issuer, token_endpoint: (await this.#metadata?.read())?.token_endpoint }),
      grant_types_supported: ['client_credentials'],
      token_endpoint_auth_methods_supported: ['private_key_jwt'],
      token_endpoint_auth_signing_alg_values_supported: embedded?.algorithms ?? ['RS384', 'ES384'],
      scopes_supported: ['system/*.rs', 'system/*.read'],
      capabilities: ['client-confidential-asymmetric', 'permission-v1', 'permission-v2'],
    };
  }

  /** Answers a request for a token. Throws `not-found` if only external issuers issue tokens. */
  issueToken(form: URLSearchParams): Promise<TokenAnswer> {
    const { embedded, clients } = this.#policy;
    if (!embedded) throw new HeadwaterError('not-found', 'this server issues no tokens');
    const { baseUrl: issuer, used, clock } = this.#options;
    const endpoint = { issuer, tokenUrl: this.tokenUrl, key: this.#key, used, keySource: this.#keySource };
    return issueToken(form, { ...endpoint, settings: embedded, clients }, clock());
  }

  /**
   * Returns the client behind a request.
   * @param headers every value of Authorization
   * @throws no-token, invalid-token, expired-token, bad-request for two headers, unavailable
   */
  async authenticate(headers: readonly string[]): Promise<Identity> {
    if (headers.length > 1)
      throw new HeadwaterError('bad-request', 'Authorization: the header occurs twice', {
        subject: 'Authorization',
      });
    const token = /^bearer +([\w.~+/=-]+)$/i.exec(headers[0] ?? '')?.[1];
    if (token === undefined)
      throw new HeadwaterError(
        'no-token',
        `Authorization: give an access token, as "Bearer …"; ${this.tokenUrl} issues them`,
      );
    const issuer = issuerOf(token);
    const now = this.#options.clock();
    const verifier = this.#verifiers.find((one) => one.issuer === issuer);
    if (verifier) return verifier.verify(token, now);
    const asked = this.#verifiers.filter((one) => one instanceof IntrospectionVerifier);
    if (issuer !== undefined || asked.length === 0)
      throw new HeadwaterError('invalid-token', 'no issuer of the access file made it');
    return firstIdentity(asked, token, now);
  }

  /** See `resolveGrant`. */
  grant(identity: Identity, asked: ExportParameters, lenient: boolean): Granted {
    return resolveGrant(this.#policy, identity, asked, { lenient });
  }

  /** See `permittedGroups`. */
  permittedGroups(identity: Identity): PermittedGroups {
    return permittedGroups(this.#policy, identity);
  }

  /** Reads the file every few seconds until the signal fires. If the file is wrong, the earlier policy stays in force. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#tellPolicies();
      await sleep(READ_EVERY, signal).catch(() => undefined);
      if (!signal.aborted) await this.reload();
    }
  }

  async #tellPolicies(): Promise<void> {
    const { onPolicy, logger } = this.#options;
    try {
      for (let [hash] = this.#untold; hash !== undefined; [hash] = this.#untold) {
        await onPolicy?.(hash);
        this.#untold.shift();
      }
    } catch (error) {
      logger.warn({ err: error }, `the audit log does not have the access file yet: ${messageOf(error)}`);
    }
  }

  async reload(): Promise<void> {
    const { file, keysFolder, clock, logger } = this.#options;
    try {
      const policy = await readAccessFile(file, keysFolder);
      if (policy.hash !== this.#policy.hash) {
        this.#untold.push(policy.hash);
        logger.info({ policy: policy.hash }, 'the access file has changed and is in force');
        this.#policy = policy;
        this.#keySource = keySourceOf(policy, clock);
        this.#metadata = metadataOf(policy, clock);
        this.#verifiers = this.#verifiersOf(policy);
      }
      this.#problem = undefined;
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== this.#problem)
        logger.error(
          { err: error },
          `the access file is wrong, so the earlier one stays in force: ${problem}`,
        );
      this.#problem = problem;
    }
  }

  #verifiersOf({ embedded, external }: AccessPolicy): TokenVerifier[] {
    const { baseUrl, clock } = this.#options;
    const own = new EmbeddedVerifier(baseUrl, this.#key, () => this.#policy);
    const others = external.map((issuer) =>
      issuer.validate === 'jwt'
        ? new JwtVerifier(issuer, clock)
        : new IntrospectionVerifier(issuer, issuer.validate, clock),
    );
    return [...(embedded ? [own] : []), ...others];
  }
}

/**
 * Asks all issuers of opaque tokens at once and takes the first identity, so an issuer that does not answer delays no token of another
 * one. If no issuer vouches for the token and one of them does not answer, the token may still be good: throws `unavailable`.
 */
async function firstIdentity(
  verifiers: readonly TokenVerifier[],
  token: string,
  now: number,
): Promise<Identity> {
  try {
    return await Promise.any(verifiers.map((one) => one.verify(token, now)));
  } catch (error) {
    const reasons: unknown[] = error instanceof AggregateError ? error.errors : [error];
    const away = reasons.find((reason) => reason instanceof HeadwaterError && reason.code === 'unavailable');
    throw away ?? reasons[0];
  }
}

/** Returns the source of the token endpoint that `smartConfiguration` names. */
function metadataOf({ external: [first] }: AccessPolicy, clock: Clock): MetadataSource | undefined {
  return first && new MetadataSource(first, clock);
}

function keySourceOf({ embedded }: AccessPolicy, clock: Clock): KeySource {
  return new KeySource(embedded?.allowedJwksHosts ?? [], clock);
}
