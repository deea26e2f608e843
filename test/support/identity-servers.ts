import { randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** A request to a server of identities. */
interface Question {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | object;
}

/** A key store of PKCS 12. */
interface Tls {
  readonly pfx: Buffer;
  readonly passphrase: string;
}

type Answers = (question: Question) => Answer | undefined | Promise<Answer | undefined>;

/** A server of this machine that gives out credentials as a cloud does. It answers 404 to a question that the cloud does not know. */
export class IdentityServer {
  readonly #server;
  readonly #protocol;
  /** `METHOD path` of each request, in order. */
  readonly requests: string[] = [];

  private constructor(answers: Answers, tls: Tls | undefined) {
    const handle = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
      void this.#handle(incoming, outgoing, answers);
    };
    this.#protocol = tls ? 'https' : 'http';
    this.#server = tls ? createSecureServer(tls, handle) : createServer(handle);
  }

  static async listen(answers: Answers, tls?: Tls): Promise<IdentityServer> {
    const server = new IdentityServer(answers, tls);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get url(): string {
    return `${this.#protocol}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(incoming: IncomingMessage, outgoing: ServerResponse, answers: Answers): Promise<void> {
    const { method = '', url = '', headers } = incoming;
    const { pathname: path, searchParams: query } = new URL(url, this.url);
    this.requests.push(`${method} ${path}`);
    const found = await answers({ method, path, query, headers, body: await text(incoming) });
    const { status = found ? 200 : 404, headers: more = {}, body = '' } = found ?? {};
    outgoing.writeHead(status, {
      'content-type': typeof body === 'string' ? 'text/plain' : 'application/json',
      ...more,
    });
    outgoing.end(typeof body === 'string' ? body : JSON.stringify(body));
  }
}

/** Temporary credentials of a role in AWS. */
export interface RoleCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** Called for each answer. */
  readonly expiration: () => Date;
}

/**
 * The Security Token Service of AWS, for roles of Kubernetes service accounts (IRSA). It gives the credentials of one role to the holder of one token.
 * Source: AWS STS API Reference, AssumeRoleWithWebIdentity
 */
export function stsServer(role: {
  readonly arn: string;
  readonly token: string;
  readonly credentials: RoleCredentials;
}): Promise<IdentityServer> {
  const xml = (status: number, body: string): Answer => ({
    status,
    headers: { 'content-type': 'text/xml' },
    body,
  });
  const refusal = (status: number, code: string, message: string): Answer =>
    xml(
      status,
      `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code>` +
        `<Message>${message}</Message></Error><RequestId>1</RequestId></ErrorResponse>`,
    );
  return IdentityServer.listen(({ method, body }) => {
    const form = new URLSearchParams(body);
    if (method !== 'POST' || form.get('Action') !== 'AssumeRoleWithWebIdentity') return undefined;
    if (form.get('WebIdentityToken') !== role.token)
      return refusal(400, 'InvalidIdentityToken', 'The web identity token is not valid');
    if (form.get('RoleArn') !== role.arn)
      return refusal(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity');
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = role.credentials;
    return xml(
      200,
      `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>` +
        `<AssumedRoleUser><Arn>${role.arn}/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>` +
        `<Credentials><AccessKeyId>${accessKeyId}</AccessKeyId><SecretAccessKey>${secretAccessKey}</SecretAccessKey>` +
        `<SessionToken>${sessionToken}</SessionToken><Expiration>${expiration().toISOString()}</Expiration></Credentials>` +
        `</AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>`,
    );
  });
}

/**
 * The credentials endpoint of a container in ECS or EKS.
 * Source: AWS SDKs and Tools Reference Guide, "Container credential provider"
 */
export function containerServer(
  authorization: string,
  credentials: RoleCredentials,
): Promise<IdentityServer> {
  return IdentityServer.listen(({ method, path, headers }) => {
    if (method !== 'GET' || path !== '/credentials') return undefined;
    if (headers.authorization !== authorization)
      return { status: 401, body: { Code: 'AccessDenied', Message: 'wrong authorization' } };
    return { body: { ...answerOf(credentials), RoleArn: 'arn:aws:iam::1:role/r' } };
  });
}

/**
 * The metadata service of an EC2 instance, version 2, which answers only to the holder of a session token.
 * Source: Amazon EC2 User Guide, "Use the Instance Metadata Service"
 */
export function instanceServer(credentials: RoleCredentials): Promise<IdentityServer> {
  const token = 'a-session-token';
  const folder = '/latest/meta-data/iam/security-credentials/';
  return IdentityServer.listen(({ method, path, headers }) => {
    if (method === 'PUT' && path === '/latest/api/token')
      return headers['x-aws-ec2-metadata-token-ttl-seconds'] === undefined
        ? { status: 400 }
        : { body: token };
    if (headers['x-aws-ec2-metadata-token'] !== token) return { status: 401 };
    if (path === folder) return { body: 'role-of-the-instance' };
    if (path === `${folder}role-of-the-instance`)
      return { body: { Code: 'Success', Type: 'AWS-HMAC', ...answerOf(credentials) } };
    return undefined;
  });
}

/**
 * The portal of IAM Identity Center (SSO), which gives the credentials of a role to a person who has logged in.
 * Source: IAM Identity Center Portal API Reference, GetRoleCredentials
 */
export function portalServer(accessToken: string, credentials: RoleCredentials): Promise<IdentityServer> {
  return IdentityServer.listen(({ method, path, headers }) => {
    if (method !== 'GET' || path !== '/federation/credentials') return undefined;
    if (headers['x-amz-sso_bearer_token'] !== accessToken)
      return {
        status: 401,
        headers: { 'x-amzn-errortype': 'UnauthorizedException' },
        body: { message: 'no' },
      };
    const { expiration, ...keys } = credentials;
    return { body: { roleCredentials: { ...keys, expiration: expiration().getTime() } } };
  });
}

/** A service account of Google Cloud whose private key stays with Google. */
export interface ServiceAccount {
  readonly email: string;
  readonly token: string;
  /** PEM. */
  readonly key: string;
}

/**
 * The metadata server of Google Cloud, for machines and for Workload Identity of Kubernetes.
 * Source: Compute Engine documentation, "About VM metadata"
 */
export function metadataServer({ email, token }: ServiceAccount): Promise<IdentityServer> {
  const base = '/computeMetadata/v1';
  const found: Readonly<Record<string, string | object>> = {
    [`${base}/instance`]: 'attributes/',
    [`${base}/universe/universe-domain`]: 'googleapis.com',
    [`${base}/project/project-id`]: 'a-project',
    [`${base}/instance/service-accounts/default/email`]: email,
    [`${base}/instance/service-accounts/default/token`]: tokenAnswer(token),
  };
  return IdentityServer.listen(({ path, headers }) => {
    if (headers['metadata-flavor'] !== 'Google') return { status: 403 };
    const body = found[path];
    return body === undefined ? undefined : { body, headers: { 'metadata-flavor': 'Google' } };
  });
}

/**
 * IAM Credentials of Google Cloud. It signs for the holder of the service account's token, and gives that token to who holds
 * `federated`.
 * Source: IAM Service Account Credentials API, signBlob and generateAccessToken
 */
export function iamServer(
  { email, token, key }: ServiceAccount,
  { maySign = true, federated = '' } = {},
): Promise<IdentityServer> {
  const account = `/v1/projects/-/serviceAccounts/${email}`;
  const denied = (right: string): Answer => ({
    status: 403,
    body: {
      error: {
        code: 403,
        message: `Permission '${right}' denied on resource (or it may not exist).`,
        status: 'PERMISSION_DENIED',
      },
    },
  });
  return IdentityServer.listen(({ method, path, headers, body }) => {
    if (method !== 'POST') return undefined;
    if (path === `${account}:signBlob`) {
      if (!maySign || headers.authorization !== `Bearer ${token}`)
        return denied('iam.serviceAccounts.signBlob');
      const { payload } = JSON.parse(body) as { payload: string };
      const signedBlob = sign('RSA-SHA256', Buffer.from(payload, 'base64'), key).toString('base64');
      return { body: { keyId: '1', signedBlob } };
    }
    if (path === `${account}:generateAccessToken`) {
      if (headers.authorization !== `Bearer ${federated}`)
        return denied('iam.serviceAccounts.getAccessToken');
      const expireTime = new Date(Date.now() + 3_600_000).toISOString();
      return { body: { accessToken: token, expireTime } };
    }
    return undefined;
  });
}

/**
 * The Security Token Service of Google Cloud, which exchanges a token of another cloud for one of its own.
 * Source: RFC 8693; Security Token Service API, "v1.token"
 */
export function exchangeServer(given: string, federated: string): Promise<IdentityServer> {
  return IdentityServer.listen(({ method, path, body }) => {
    if (method !== 'POST' || path !== '/v1/token') return undefined;
    const form = new URLSearchParams(body);
    if (
      form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:token-exchange' ||
      form.get('subject_token') !== given
    )
      return { status: 400, body: { error: 'invalid_grant', error_description: 'the token is not known' } };
    const issued_token_type = 'urn:ietf:params:oauth:token-type:access_token';
    return { body: { ...tokenAnswer(federated), issued_token_type } };
  });
}

function tokenAnswer(access_token: string): object {
  return { access_token, expires_in: 3599, token_type: 'Bearer' };
}

const STORAGE = 'https://storage.azure.com';

/** A token of Entra for the storage service. Nothing here verifies signatures of tokens, so it has none that is right. */
export function entraToken(tenant: string, seconds = 3600): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    aud: STORAGE,
    iss: `https://sts.windows.net/${tenant}/`,
    iat: now,
    nbf: now - 60,
    exp: now + seconds,
    tid: tenant,
    oid: randomUUID(),
  };
  const parts = [{ typ: 'JWT', alg: 'RS256' }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  );
  return [...parts, 'signature'].join('.');
}

/**
 * Microsoft Entra for one application, which shows a token of Kubernetes instead of a secret.
 * @param busy it answers every question about a token with 503
 * Source: Microsoft identity platform, "OAuth 2.0 client credentials flow", third case
 */
export function entraServer(
  { tenant, client, assertion }: Readonly<Record<'tenant' | 'client' | 'assertion', string>>,
  tls: Tls,
  { busy = false } = {},
): Promise<IdentityServer> {
  return IdentityServer.listen(({ method, path, headers, body }) => {
    const base = `https://${headers.host ?? ''}/${tenant}`;
    if (method === 'GET' && path === `/${tenant}/v2.0/.well-known/openid-configuration`)
      return {
        body: {
          issuer: `${base}/v2.0`,
          authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
          token_endpoint: `${base}/oauth2/v2.0/token`,
          jwks_uri: `${base}/discovery/v2.0/keys`,
        },
      };
    if (method !== 'POST' || path !== `/${tenant}/oauth2/v2.0/token`) return undefined;
    if (busy)
      return { status: 503, body: { error: 'temporarily_unavailable', error_description: 'AADSTS90033' } };
    const form = new URLSearchParams(body);
    if (form.get('client_assertion') !== assertion || form.get('client_id') !== client)
      return {
        status: 401,
        body: {
          error: 'invalid_client',
          error_description: 'AADSTS700211: No matching federated identity record found for the assertion.',
        },
      };
    if (form.get('scope')?.startsWith(`${STORAGE}/.default`) !== true)
      return { status: 400, body: { error: 'invalid_scope' } };
    return { body: tokenAnswer(entraToken(tenant)) };
  }, tls);
}

/**
 * The endpoint of managed identities, of App Service and of virtual machines (IMDS).
 * Source: Microsoft Learn, "Use managed identities for App Service" and "Use managed identities on a virtual machine"
 */
export function managedIdentityServer(tenant: string, header: string): Promise<IdentityServer> {
  return IdentityServer.listen(({ method, path, query, headers }) => {
    const isAppService = /^\/msi\/token\/?$/.test(path) && query.get('api-version') === '2019-08-01';
    const isMachine = /^\/metadata\/identity\/oauth2\/token\/?$/.test(path);
    if (method !== 'GET' || !(isAppService || isMachine)) return undefined;
    if (isAppService ? headers['x-identity-header'] !== header : headers.metadata !== 'true')
      return { status: 401, body: { statusCode: 401, message: 'the header is missing' } };
    if (query.get('resource')?.replace(/\/$/, '') !== STORAGE)
      return { status: 400, body: { error: 'invalid_resource' } };
    const expires_on = String(Math.floor(Date.now() / 1000) + 3600);
    return {
      body: { access_token: entraToken(tenant), expires_on, resource: STORAGE, token_type: 'Bearer' },
    };
  });
}

/** A metadata service that takes requests and never answers, as an address that a firewall drops. */
export function silentServer(): Promise<IdentityServer> {
  return IdentityServer.listen(() => new Promise(() => undefined));
}

function answerOf({ accessKeyId, secretAccessKey, sessionToken, expiration }: RoleCredentials): object {
  return {
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    Token: sessionToken,
    LastUpdated: new Date().toISOString(),
    Expiration: expiration().toISOString(),
  };
}
