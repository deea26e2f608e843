import { createHmac, timingSafeEqual } from 'node:crypto';
import { HeadwaterError } from '../base/errors.ts';
import { FHIR_BASE } from './gateway-context.ts';

export interface UrlSigning {
  readonly publicUrl: string;
  readonly urlSecret: string;
}

/**
 * A capability URL: every holder may read this one file until `expires` (ms since 1970; kept in whole seconds).
 * HMAC-SHA256 over the key and the time.
 */
export function fileUrl(signing: UrlSigning, key: string, expires: number): string {
  const seconds = String(Math.floor(expires / 1000));
  const query = `expires=${seconds}&signature=${sign(signing.urlSecret, key, seconds).toString('base64url')}`;
  return `${signing.publicUrl}${FHIR_BASE}/$export-file/${key}?${query}`;
}

/** Throws `not-found` unless the URL was signed here, for this key, and is still good. */
export function checkFileUrl(secret: string, key: string, query: URLSearchParams, now: number): void {
  const expires = query.get('expires') ?? '';
  const given = Buffer.from(query.get('signature') ?? '', 'base64url');
  const right = sign(secret, key, expires);
  if (given.length !== right.length || !timingSafeEqual(given, right)) {
    throw new HeadwaterError('not-found', 'there is no such file; take its URL as it is in the manifest');
  }
  if (now >= Number(expires) * 1000) {
    throw new HeadwaterError('not-found', 'this URL has expired; get the manifest again for a new one');
  }
}

function sign(secret: string, key: string, expires: string): Buffer {
  return createHmac('sha256', secret).update(`${key}\n${expires}`).digest();
}
