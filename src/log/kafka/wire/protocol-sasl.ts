import { throwIfFailed } from './protocol-error.ts';
import type { Call } from './protocol.ts';

/** ms */
const LOGIN_TIMEOUT = 10_000;

export function saslHandshake(mechanism: string): Call<void> {
  return {
    name: 'SaslHandshake',
    key: 17,
    version: 1,
    write: (to) => to.string(mechanism),
    timeout: LOGIN_TIMEOUT,
    read: (from) => throwIfFailed('SaslHandshake', from.int16()),
  };
}

export interface SaslAnswer {
  readonly bytes: Buffer;
  /** ms; 0 forever. */
  readonly lifetime: number;
}

export function saslAuthenticate(bytes: Buffer): Call<SaslAnswer> {
  return {
    name: 'SaslAuthenticate',
    key: 36,
    version: 1,
    timeout: LOGIN_TIMEOUT,
    write: (to) => to.bytes(bytes),
    read: (from) => {
      throwIfFailed('SaslAuthenticate', from.int16());
      from.string(); // the error in words
      return { bytes: from.bytes(), lifetime: Number(from.int64()) };
    },
  };
}
