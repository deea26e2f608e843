import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { CryptoKey } from 'jose';
import { Provider } from 'oidc-provider';

export interface OidcClaims {
  readonly roles?: readonly string[];
  readonly patient?: string;
  readonly groups?: readonly string[];
}

/** A real OpenID provider, whose clients get access tokens for themselves. */
export class OidcIssuer {
  readonly url: string;
  /** The id of its key, which no other issuer has. */
  readonly kid: string;
  readonly #server: Server;
  readonly #key: CryptoKey;

  private constructor(
    url: string,
    server: Server,
    { kid, key }: { readonly kid: string; readonly key: CryptoKey },
  ) {
    this.url = url;
    this.kid = kid;
    this.#server = server;
    this.#key = key;
  }

  /**
   * @param options.audience of its tokens
   * @param options.claims added to each token
   * @param options.port of an issuer that comes back
   */
  static async start(options: {
    readonly format: 'jwt' | 'opaque';
    readonly audience: string;
    readonly claims: OidcClaims;
    readonly seconds?: number;
    readonly port?: number;
  }): Promise<OidcIssuer> {
    const server = createServer();
    server.listen(options.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://localhost:${String((server.address() as AddressInfo).port)}`;
    const { privateKey: key } = await generateKeyPair('RS256', { extractable: true });
    const kid = randomUUID();
    const scope = 'system/*.rs patient/*.rs system/Patient.rs';
    const provider = new Provider(url, {
      scopes: scope.split(' '),
      jwks: { keys: [{ ...(await exportJWK(key)), kid, alg: 'RS256', use: 'sig' }] },
      clients: [
        {
          ...{ client_id: 'portal', client_secret: 'portal-secret', grant_types: ['client_credentials'] },
          ...{ redirect_uris: [], response_types: [] },
        },
        {
          ...{
            client_id: 'headwater',
            client_secret: 'headwater secret/+',
            grant_types: ['client_credentials'],
          },
          ...{ redirect_uris: [], response_types: [] },
        },
      ],
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        introspection: { enabled: true, allowedPolicy: () => true },
        revocation: { enabled: true },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => options.audience,
          getResourceServerInfo: () => ({
            ...{ scope, audience: options.audience, accessTokenFormat: options.format },
            accessTokenTTL: options.seconds ?? 300,
            jwt: { sign: { alg: 'RS256' } },
          }),
        },
      },
      extraTokenClaims: () => ({ ...options.claims }),
    });
    const handle = provider.callback();
    server.on('request', (request, response) => void handle(request, response));
    return new OidcIssuer(url, server, { kid, key });
  }

  async token(scope: string): Promise<string> {
    const answer = await this.#post('/token', { grant_type: 'client_credentials', scope });
    const { access_token: token } = (await answer.json()) as { access_token?: string };
    if (token === undefined) throw new Error(`the issuer gives no token: ${String(answer.status)}`);
    return token;
  }

  /** Signs any claims with the key of this issuer, as one does that was broken into. */
  sign(claims: Record<string, unknown>, kid = this.kid): Promise<string> {
    return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid }).sign(this.#key);
  }

  async revoke(token: string): Promise<void> {
    await this.#post('/token/revocation', { token });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #post(path: string, form: Record<string, string>): Promise<Response> {
    return fetch(this.url + path, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from('portal:portal-secret').toString('base64')}` },
      body: new URLSearchParams(form),
    });
  }
}
