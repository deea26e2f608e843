import type { JWK } from 'jose';
import { HeadwaterError } from '../../base/errors.ts';
import type { Client, EmbeddedIssuer } from '../policy.ts';
import { grantedScopes } from '../scopes.ts';
import { makeAccessToken } from './access-token.ts';
import { verifyAssertion } from './client-assertion.ts';
import type { KeySource } from '../key-source.ts';
import type { UsedAssertions } from './used-assertions.ts';

/** An answer of OAuth 2.0 (RFC 6749, 5). */
export interface TokenAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, string | number>>;
  /** The client that has proved who it is. */
  readonly clientId?: string;
  /** The `jti` of the token. */
  readonly tokenId?: string;
}

export interface TokenEndpoint {
  readonly settings: EmbeddedIssuer;
  readonly clients: ReadonlyMap<string, Client>;
  /** The base URL. */
  readonly issuer: string;
  readonly tokenUrl: string;
  readonly key: Uint8Array;
  readonly keySource: Pick<KeySource, 'keysOf'>;
  readonly used: Pick<UsedAssertions, 'use'>;
}

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const FIELDS = ['grant_type', 'client_assertion_type', 'client_assertion', 'scope', 'client_id'];

/**
 * Issues an access token to a client that authenticates with a signed assertion (SMART Backend Services). Every failed authentication gets
 * the same answer.
 * @param now ms since 1970
 */
export async function issueToken(
  form: URLSearchParams,
  endpoint: TokenEndpoint,
  now: number,
): Promise<TokenAnswer> {
  const twice = FIELDS.find((name) => form.getAll(name).length > 1);
  if (twice !== undefined) return refusal(400, 'invalid_request', `${twice} occurs twice`);
  if (form.get('grant_type') !== 'client_credentials')
    return refusal(400, 'unsupported_grant_type', 'grant_type must be client_credentials');
  if (form.get('client_assertion_type') !== ASSERTION_TYPE)
    return refusal(400, 'invalid_request', `client_assertion_type must be ${ASSERTION_TYPE}`);
  const { settings, clients, issuer, tokenUrl } = endpoint;
  const verified = await verifyAssertion(
    form.get('client_assertion') ?? '',
    form.get('client_id') ?? undefined,
    {
      ...{ settings, now },
      audiences: [tokenUrl, issuer],
      clientOf: (id) => clients.get(id),
      keysOf: (client, kid) => keysOf(endpoint, client, kid),
    },
  );
  if (!verified) return INVALID_CLIENT;
  const { clientId, client, jti, deadAt } = verified;
  if (!(await endpoint.used.use(clientId, jti, { deadAt, now }))) return INVALID_CLIENT;
  const asked = (form.get('scope') ?? '').split(' ').filter((text) => text !== '');
  const scope = grantedScopes(asked, client.scopes).join(' ');
  if (scope === '')
    return {
      ...refusal(
        400,
        'invalid_scope',
        `scope names nothing that this client may have: ${client.scopes.join(' ')}`,
      ),
      clientId,
    };
  const { expiresIn } = settings;
  const { token, tokenId } = await makeAccessToken({ clientId, scope }, { ...endpoint, expiresIn, now });
  return {
    status: 200,
    body: { access_token: token, token_type: 'bearer', expires_in: expiresIn, scope },
    ...{ clientId, tokenId },
  };
}

/** Returns no keys if their fetch fails: the client named the URL, so its authentication fails. */
async function keysOf({ keySource }: TokenEndpoint, { keys }: Client, kid: string): Promise<readonly JWK[]> {
  if ('set' in keys) return keys.set.keys.filter((key) => key.kid === kid);
  try {
    return await keySource.keysOf(keys.url, kid);
  } catch (error) {
    if (error instanceof HeadwaterError && error.code === 'unavailable') return [];
    throw error;
  }
}

function refusal(status: number, error: string, description: string): TokenAnswer {
  return { status, body: { error, error_description: description } };
}

const INVALID_CLIENT = refusal(401, 'invalid_client', 'the client could not be authenticated');
