import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { CryptoKey, JWK } from 'jose';
import type { ExternalIssuer } from '../../../src/access/policy.ts';

export const AUDIENCE = 'https://export.example.org/fhir';

/** An issuer that misbehaves as a test wants: each path is answered by a listener that the test may replace. */
export class StubIssuer {
  readonly url: string;
  /** Paths that were asked for, in order. */
  readonly asked: string[] = [];
  /** Connections that were made, with or without a request. */
  connections = 0;
  readonly answers = new Map<string, RequestListener>();
  readonly #server: Server;
  readonly #keys = new Map<string, CryptoKey>();
  #published: JWK[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://localhost:${String((server.address() as AddressInfo).port)}`;
    server.on('connection', () => this.connections++);
    server.on('request', (request, response) => {
      const path = request.url ?? '';
      this.asked.push(path);
      const answer = this.answers.get(path) ?? ((_, nothing) => nothing.writeHead(404).end());
      answer(request, response);
    });
    this.answers.set('/.well-known/openid-configuration', json(this.metadata()));
    this.answers.set('/jwks', (request, response) => json({ keys: this.#published })(request, response));
  }

  static async start(): Promise<StubIssuer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const issuer = new StubIssuer(server);
    await issuer.rotate('first');
    return issuer;
  }

  metadata(): object {
    const { url: issuer } = this;
    return { issuer, jwks_uri: `${issuer}/jwks`, introspection_endpoint: `${issuer}/introspect` };
  }

  settings(validate: ExternalIssuer['validate'] = 'jwt'): ExternalIssuer {
    return {
      ...{ name: 'hospital', issuer: this.url, validate, algorithms: ['ES256'], audience: AUDIENCE },
      claims: { client: 'client_id', roles: 'roles', scope: 'scope', patient: 'patient', attributes: {} },
      roles: new Map([['member', 'patient']]),
      allowedJwksHosts: ['localhost'],
    };
  }

  /** Publishes a new key instead of all others. */
  async rotate(kid: string): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    this.#keys.set(kid, privateKey);
    this.#published = [{ ...(await exportJWK(publicKey)), kid }];
  }

  /** A token that is good at `now`, in ms, but for the claims and the header that the test replaces. */
  async token(
    now: number,
    {
      claims = {},
      header = {},
      kid = 'first',
    }: { readonly claims?: object; readonly header?: object; readonly kid?: string } = {},
  ): Promise<string> {
    const key = this.#keys.get(kid);
    if (!key) throw new Error(`there is no key ${kid}`);
    const exp = Math.floor(now / 1_000) + 300;
    const payload = { iss: this.url, aud: AUDIENCE, exp, client_id: 'portal', roles: 'member', ...claims };
    return new SignJWT(JSON.parse(JSON.stringify(payload)) as Record<string, unknown>)
      .setProtectedHeader({ alg: 'ES256', kid, ...header })
      .sign(key);
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Answers with a JSON document. */
export function json(content: object): RequestListener {
  return (_, response) => response.writeHead(200).end(JSON.stringify(content));
}

/** Returns the form that a client posts. */
export async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return new URLSearchParams(text);
}
