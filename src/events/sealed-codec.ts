import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { HeadwaterError } from '../base/errors.ts';
import type { Codec } from './schema-ids.ts';

const SEAL_BYTES = 32;

/**
 * Returns a codec that puts a seal behind each record: an HMAC-SHA256 of its bytes. Every writer of Kafka can write commands and tasks, but only
 * processes of this installation know the secret.
 * @param secret the setting HEADWATER_URL_SECRET, from which the key is derived; undefined in a process that neither writes nor reads such records
 * @param kind what the records are: a seal of one kind is none of another
 */
export function sealed<T>(codec: Codec<T>, secret: string | undefined, kind: string): Codec<T> {
  let key: Buffer | undefined;
  const sealOf = (bytes: Buffer): Buffer => {
    if (secret === undefined) throw new HeadwaterError('bad-config', 'HEADWATER_URL_SECRET is missing');
    key ??= Buffer.from(hkdfSync('sha256', secret, '', `headwater ${kind} seal`, 32));
    return createHmac('sha256', key).update(bytes).digest();
  };
  return {
    encode: (value) => {
      const bytes = codec.encode(value);
      return Buffer.concat([bytes, sealOf(bytes)]);
    },
    decode: (record) => {
      const end = Math.max(0, record.length - SEAL_BYTES);
      const bytes = record.subarray(0, end);
      const given = record.subarray(end);
      if (given.length !== SEAL_BYTES || !timingSafeEqual(given, sealOf(bytes)))
        throw new HeadwaterError(
          'forbidden',
          `a ${kind} has a wrong seal: no process with this HEADWATER_URL_SECRET made it`,
        );
      return codec.decode(bytes);
    },
  };
}
