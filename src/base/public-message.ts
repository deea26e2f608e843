import { HeadwaterError, messageOf } from './errors.ts';

/** Codes whose messages are written for clients. */
const FOR_CLIENTS: ReadonlySet<string> = new Set([
  ...['bad-request', 'not-found', 'precondition', 'too-many', 'limit'],
  ...['no-token', 'insufficient-scope', 'forbidden'],
  ...['deadline', 'max-export'], // of jobs that the janitor ends
]);

const SENTENCES: Readonly<Record<string, string>> = {
  'invalid-token': 'The access token is not valid here.', // an attacker who tries tokens learns nothing
  'expired-token': 'The access token has expired; get a new one.',
  unavailable: 'A server this one needs is not available; try again.',
  gone: 'The log no longer holds what this export needs; start a new export.',
  corrupt: 'A stored record that this export needs is damaged; the log of the server names it.',
};

const UNEXPECTED = 'The server met an error it did not expect; its log says which.';

/**
 * Returns the message of an error that a client may read: in answers, manifests and public events. Messages for clients pass; any other message may
 * hold addresses, paths or names and stays in the log.
 */
export function clientMessage(code: string, message: string): string {
  return FOR_CLIENTS.has(code) ? message : (SENTENCES[code] ?? UNEXPECTED);
}

const HIDDEN = '[hidden]';
const URLS = /\b[a-z][a-z0-9+.-]*:\/\/[^\s,;)"']+/gi;
const ADDRESSES = /(?:\[[0-9a-f:.]+\]|\b[\w-]+(?:\.[\w-]+)*):\d{2,5}\b/gi;
const IPS = /\b\d{1,3}(?:\.\d{1,3}){3}\b|(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])/gi;
const HOSTS = /\b(ENOTFOUND|EAI_AGAIN|host) "?[\w.-]+"?/g;
const PATHS = /(^|[\s"'(=])\/[\w.@-]+(?:\/[\w.@-]+)+/g;

/**
 * Returns the message of an error for a probe: our own words without addresses and paths, and without the message of the inner error. The
 * probes are unauthenticated; the log has the whole message.
 */
export function probeMessage(error: unknown): string {
  if (!(error instanceof HeadwaterError) || error.code === 'internal') return UNEXPECTED;
  const inner = error.cause === undefined ? '' : messageOf(error.cause);
  const own = inner === '' ? error.message : error.message.replaceAll(inner, HIDDEN);
  return own
    .replace(URLS, HIDDEN)
    .replace(ADDRESSES, HIDDEN)
    .replace(IPS, HIDDEN)
    .replace(HOSTS, `$1 ${HIDDEN}`)
    .replace(PATHS, `$1${HIDDEN}`);
}
