import { decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from 'jose';
import type { JWK, JWTPayload, ProtectedHeaderParameters } from 'jose';
import type { Client, EmbeddedIssuer } from '../policy.ts';

/** In characters: the longest assertion, and the longest text in it. */
const MAX_ASSERTION = 8_192;
const MAX_TEXT = 1_024;
/** In s: the longest lifetime of an assertion (SMART App Launch 2.2). */
const MAX_LIFETIME = 300;
const RSA_BITS = { least: 2_048, most: 4_096 };

export interface VerifiedAssertion {
  readonly clientId: string;
  readonly client: Client;
  readonly jti: string;
  /** The end of its lifetime, in ms since 1970. */
  readonly deadAt: number;
}

export interface AssertionRules {
  readonly settings: Pick<EmbeddedIssuer, 'algorithms' | 'tolerance'>;
  /** The accepted values of `aud`: the URL of the token endpoint, and the issuer. */
  readonly audiences: readonly string[];
  readonly clientOf: (id: string) => Client | undefined;
  /** Returns the keys of a client with an id. */
  readonly keysOf: (client: Client, kid: string) => Promise<readonly JWK[]>;
  /** ms since 1970. */
  readonly now: number;
}

/**
 * Verifies the assertion by which a client authenticates (SMART App Launch 2.2, client-confidential-asymmetric). Returns undefined for every
 * wrong assertion, so no answer can contain the reason. Throws what `keysOf` throws.
 * @param formClientId the `client_id` of the form, if there is one
 */
export async function verifyAssertion(
  assertion: string,
  formClientId: string | undefined,
  rules: AssertionRules,
): Promise<VerifiedAssertion | undefined> {
  if (assertion.length > MAX_ASSERTION) return undefined;
  const parts = decoded(assertion);
  if (!parts) return undefined;
  const { header, payload } = parts;
  const clientId = isText(payload.sub) && payload.iss === payload.sub ? payload.sub : undefined;
  const client = clientId === undefined ? undefined : rules.clientOf(clientId);
  if (clientId === undefined || !client || client.disabled) return undefined;
  if (formClientId !== undefined && formClientId !== clientId) return undefined;
  const jti = jtiOf(payload, rules);
  if (jti === undefined || !isGoodHeader(header, client, rules)) return undefined;
  const keys = await rules.keysOf(client, header.kid);
  const fitting = keys.filter((key) => key.kty === (header.alg === 'ES384' ? 'EC' : 'RSA'));
  const [key] = fitting;
  if (!key || fitting.length > 1 || !isGoodKey(key, header.alg)) return undefined;
  try {
    const tolerance = rules.settings.tolerance;
    await jwtVerify(assertion, await importJWK(key, header.alg), {
      algorithms: [header.alg],
      clockTolerance: tolerance,
      currentDate: new Date(rules.now),
    });
    return { clientId, client, jti, deadAt: (Number(payload.exp) + tolerance) * 1_000 };
  } catch {
    return undefined;
  }
}

function decoded(
  assertion: string,
): { readonly header: ProtectedHeaderParameters; readonly payload: JWTPayload } | undefined {
  try {
    return { header: decodeProtectedHeader(assertion), payload: decodeJwt(assertion) };
  } catch {
    return undefined;
  }
}

type GoodHeader = ProtectedHeaderParameters & { readonly alg: 'RS384' | 'ES384'; readonly kid: string };

/** Keys come from the registration only, never from the assertion itself. */
function isGoodHeader(
  header: ProtectedHeaderParameters,
  { keys }: Client,
  { settings }: AssertionRules,
): header is GoodHeader {
  if (!settings.algorithms.some((algorithm) => algorithm === header.alg)) return false;
  if (!isText(header.kid) || 'crit' in header) return false;
  if ('jwk' in header || 'x5c' in header || 'x5u' in header) return false;
  return header.jku === undefined || ('url' in keys && header.jku === keys.url);
}

/** Returns the id of an assertion whose audience and times are good. */
function jtiOf({ aud, exp, nbf, iat, jti }: JWTPayload, rules: AssertionRules): string | undefined {
  const [audience, second] = [aud].flat();
  if (audience === undefined || second !== undefined || !rules.audiences.includes(audience)) return undefined;
  const now = rules.now / 1_000;
  const { tolerance } = rules.settings;
  if (typeof exp !== 'number' || exp + tolerance <= now || exp > now + MAX_LIFETIME + tolerance)
    return undefined;
  for (const time of [nbf, iat])
    if (time !== undefined && (typeof time !== 'number' || time > now + tolerance)) return undefined;
  return isText(jti) ? jti : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_TEXT;
}

function isGoodKey(key: JWK, alg: string): boolean {
  if (key.kty === 'EC') return key.crv === 'P-384' && (key.alg === undefined || key.alg === alg);
  const bits = Buffer.from(key.n ?? '', 'base64url').length * 8;
  return bits >= RSA_BITS.least && bits <= RSA_BITS.most && (key.alg === undefined || key.alg === alg);
}
