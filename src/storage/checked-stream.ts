import { Readable } from 'node:stream';
import { HeadwaterError } from '../base/errors.ts';

/**
 * The bytes of an object. A read that breaks off throws `unavailable`: the SDKs throw errors of their own, and one of them looks like a
 * cancellation.
 */
export function checkedStream(source: Readable, key: string): Readable {
  const bytes = async function* (): AsyncGenerator<Buffer> {
    try {
      yield* source as AsyncIterable<Buffer>;
    } catch (error) {
      throw new HeadwaterError('unavailable', `the read of ${key} broke off`, { subject: key, cause: error });
    }
  };
  return Readable.from(bytes(), { objectMode: false });
}
