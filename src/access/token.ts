import { decodeJwt } from 'jose';
import { HeadwaterError } from '../base/errors.ts';

/** In characters. */
const MAX_TOKEN = 8_192;

/** Throws `invalid-token` for a token that is longer than any issuer makes. */
export function checkLength(token: string): void {
  if (token.length > MAX_TOKEN) throw new HeadwaterError('invalid-token', 'it is too long');
}

/** Returns the `iss` of an unverified JWT, which selects its verifier; undefined if the token is opaque. */
export function issuerOf(token: string): string | undefined {
  try {
    const { iss } = decodeJwt(token);
    return typeof iss === 'string' ? iss : undefined;
  } catch {
    return undefined;
  }
}
