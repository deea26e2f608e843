import { HeadwaterError, isAbort, messageOf } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';

/** Returns an access token that is still good. */
export type TokenSource = () => Promise<string>;

/**
 * Sends a request. Returns any answer of the server. Throws `unavailable` if there is none.
 * @param token undefined where the server is open, and for files whose URL is enough
 */
export async function ask(url: string, init: RequestInit, token?: TokenSource): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token) headers.set('authorization', `Bearer ${await token()}`);
  try {
    return await fetch(url, { ...init, headers });
  } catch (cause) {
    if (isAbort(cause, init.signal ?? undefined)) throw cause;
    const reason =
      cause instanceof Error && cause.cause !== undefined ? messageOf(cause.cause) : messageOf(cause);
    throw new HeadwaterError('unavailable', `${withoutQuery(url)} does not answer: ${reason}`, { cause });
  }
}

/** Returns the error that an answer means, with the words of the server if there are any. Reads the body. */
export async function errorOf(response: Response): Promise<HeadwaterError> {
  const said = wordsOf(await response.text().catch(() => ''));
  const status = String(response.status);
  return new HeadwaterError(
    codeOf(response.status),
    `${withoutQuery(response.url)} answered ${status}${said && `: ${said}`}`,
  );
}

/** Seconds to wait, in ms, as `Retry-After` says in either of its forms; undefined without one. */
export function retryAfterMs(response: Response, now: number): number | undefined {
  const text = response.headers.get('retry-after');
  if (text === null) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

function codeOf(status: number): ErrorCode {
  if (status === 404) return 'not-found';
  if (status === 429) return 'too-many';
  if (status === 502 || status === 503 || status === 504) return 'unavailable';
  return status < 500 ? 'bad-request' : 'internal';
}

function wordsOf(body: string): string {
  try {
    const { issue } = JSON.parse(body) as { issue?: { diagnostics?: string; details?: { text?: string } }[] };
    return (issue ?? []).map(({ diagnostics, details }) => diagnostics ?? details?.text ?? '').join('; ');
  } catch {
    return body.slice(0, 200).trim();
  }
}

/** Removes the query from a URL for a message, because the query of a file URL is a secret. */
function withoutQuery(url: string): string {
  return url.replace(/\?.*/s, '');
}
