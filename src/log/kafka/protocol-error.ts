import { errorName } from './error-names.ts';

/** The coordinator still writes the markers of the transaction before. */
export const CONCURRENT_TRANSACTIONS = 51;

/** A broker's own refusal. Codes are Kafka's protocol guide's. */
export class ProtocolError extends Error {
  readonly code: number;

  constructor(api: string, code: number) {
    super(`${api}: error ${code} (${errorName(code)})`);
    this.name = 'ProtocolError';
    this.code = code;
  }
}

export function throwIfFailed(api: string, code: number): void {
  if (code !== 0) throw new ProtocolError(api, code);
}
