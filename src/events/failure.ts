import { HeadwaterError, messageOf } from '../base/errors.ts';
import { clientMessage } from '../base/public-message.ts';

/** Returns the failure of a job for its events. The log of the process has the error itself. */
export function failureOf(error: unknown): { readonly code: string; readonly message: string } {
  const code = error instanceof HeadwaterError ? error.code : 'internal';
  return { code, message: clientMessage(code, messageOf(error)) };
}
