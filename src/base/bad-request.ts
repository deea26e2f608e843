import { HeadwaterError } from './errors.ts';

/** Returns the input of a client for a message: shortened and as a JSON string, because it may be long and hold control characters. */
export function quoted(text: string): string {
  return JSON.stringify(shortened(text, 100));
}

export function shortened(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

export function bad(subject: string, message: string): HeadwaterError {
  return new HeadwaterError('bad-request', message, { subject });
}
