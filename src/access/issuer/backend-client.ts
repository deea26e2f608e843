import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose';
import type { JWK } from 'jose';
import type { Clock } from '../../base/clock.ts';
import { HeadwaterError } from '../../base/errors.ts';
import type { AssertionAlgorithm } from '../policy.ts';

/** A private JWK with `kid` and `alg`. */
export type PrivateKey = JWK;

interface AccessToken {
  readonly token: string;
  /** Its lifetime in s. */
  readonly seconds: number;
}

/** Makes a new key pair for a client. */
export async function makeKeyPair(
  algorithm: AssertionAlgorithm,
): Promise<{ readonly privateKey: PrivateKey; readonly publicSet: { readonly keys: readonly JWK[] } }> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const kid = randomUUID();
  return {
    privateKey: { ...(await exportJWK(privateKey)), kid, alg: algorithm },
    publicSet: { keys: [{ ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' }] },
  };
}

/**
 * Asks a token endpoint for an access token, as a client that holds the private key (SMART Backend Services).
 * @throws refused with the answer of the endpoint, unavailable
 */
export async function askForToken({
  tokenUrl,
  clientId,
  key,
  scope,
}: {
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly key: PrivateKey;
  readonly scope: string;
}): Promise<AccessToken> {
  const { kid, alg } = key;
  if (kid === undefined || alg === undefined)
    throw new HeadwaterError(
      'bad-request',
      'the key has no kid or no alg; "headwater access key" makes a key with both',
    );
  const assertion = await new SignJWT({})
    .setProtectedHeader({ alg, kid, typ: 'JWT' })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(tokenUrl)
    .setJti(randomUUID())
    .setExpirationTime('4 minutes')
    .sign(await importJWK(key, alg));
  const form = {
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
    scope,
  };
  let response: Response;
  try {
    response = await fetch(tokenUrl, { method: 'POST', body: new URLSearchParams(form) });
  } catch (cause) {
    throw new HeadwaterError('unavailable', `${tokenUrl} does not answer`, { cause });
  }
  const answer = (await response.json().catch(() => ({}))) as Readonly<Record<string, unknown>>;
  if (typeof answer['access_token'] === 'string')
    return { token: answer['access_token'], seconds: Number(answer['expires_in'] ?? 60) };
  const why = [answer['error'], answer['error_description']].filter((text) => typeof text === 'string');
  throw new HeadwaterError('refused', `${tokenUrl} answered ${String(response.status)}: ${why.join(', ')}`);
}

/** Returns a source of access tokens. It asks for a new token about a minute before the present one expires. */
export function tokenSource(client: Parameters<typeof askForToken>[0], clock: Clock): () => Promise<string> {
  let kept: { readonly until: number; readonly token: Promise<AccessToken> } | undefined;
  return async () => {
    const now = clock();
    if (!kept || now >= kept.until) {
      const token = askForToken(client);
      kept = { until: now + 5_000, token };
      const { seconds } = await token;
      kept = { until: now + Math.max(5, seconds - 60) * 1_000, token };
    }
    return (await kept.token).token;
  };
}
