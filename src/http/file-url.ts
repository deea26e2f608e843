import { createHmac, timingSafeEqual } from 'node:crypto';
import { basename } from 'node:path/posix';
import { HeadwaterError } from '../base/errors.ts';
import { contentTypeOf } from '../events/file-type.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { FHIR_BASE } from './gateway-context.ts';

export interface UrlSigning {
  readonly publicUrl: string;
  readonly urlSecret: string;
  /** Whether files pass through the gateway, which asks for a token. */
  readonly fileTokens?: boolean;
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

function tokenUrl({ publicUrl }: UrlSigning, key: string): string {
  return `${publicUrl}${FHIR_BASE}/$export-file/${key}`;
}

/** The most signatures that are requested at a time: some clouds need a request for each. */
const SIGNED_AT_A_TIME = 32;

/**
 * Signs a URL for each file: of the store if it has signed URLs, so that no file passes through the gateway, otherwise of the gateway.
 * @param options.expiresAt ms since 1970, when the URLs shall expire
 * @returns the URLs by key, and when the first of them expires
 */
export async function signFileUrls(
  keys: readonly string[],
  {
    store,
    settings,
    expiresAt,
  }: {
    readonly store: Pick<ObjectStore, 'downloadUrl'>;
    readonly settings: UrlSigning;
    readonly expiresAt: number;
  },
): Promise<{ readonly urls: ReadonlyMap<string, string>; readonly expiresAt: number }> {
  const urls = new Map<string, string>();
  let earliest = expiresAt;
  const sign = async (key: string): Promise<void> => {
    const download = { expiresAt, contentType: contentTypeOf(key), fileName: basename(key) };
    if (settings.fileTokens) return void urls.set(key, tokenUrl(settings, key));
    const signed = await store.downloadUrl(key, download);
    urls.set(key, signed?.url ?? fileUrl(settings, key, expiresAt));
    if (signed) earliest = Math.min(earliest, signed.expiresAt);
  };
  for (let from = 0; from < keys.length; from += SIGNED_AT_A_TIME)
    await Promise.all(keys.slice(from, from + SIGNED_AT_A_TIME).map(sign));
  return { urls, expiresAt: earliest };
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
