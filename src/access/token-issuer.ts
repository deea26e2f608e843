import { decodeJwt } from 'jose';

/** The `iss` of an unverified JWT: it picks the verifier before anything of the token is trusted. */
export function issuerOf(token: string): string | undefined {
  try {
    const { iss } = decodeJwt(token);
    return typeof iss === 'string' ? iss : undefined;
  } catch {
    return undefined;
  }
}
