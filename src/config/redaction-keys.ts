import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HeadwaterError, messageOf } from '../base/errors.ts';

/** In bytes. */
const MIN_KEY = 32;

export interface NamedKey {
  readonly name: string;
  /** 16 hex digits. The same key has the same fingerprint in every process; the key cannot be found by it. */
  readonly fingerprint: string;
  readonly secret: Uint8Array;
}

/**
 * Reads a key of `hash` and `random` from its file in the folder of keys; white space at its end does not count.
 * @param folder the setting HEADWATER_KEYS_FOLDER
 * @throws bad-config if the setting or the file is missing, or if the key is shorter than 32 bytes
 */
export async function readRedactionKey(folder: string | undefined, name: string): Promise<NamedKey> {
  if (folder === undefined)
    throw new HeadwaterError(
      'bad-config',
      `HEADWATER_KEYS_FOLDER is not set, and the key "${name}" is needed`,
    );
  const file = join(folder, name);
  let secret: Buffer;
  try {
    secret = Buffer.from((await readFile(file, 'latin1')).trimEnd(), 'latin1');
  } catch (error) {
    throw new HeadwaterError('bad-config', `HEADWATER_KEYS_FOLDER: cannot read ${file}: ${messageOf(error)}`);
  }
  if (secret.length < MIN_KEY)
    throw new HeadwaterError(
      'bad-config',
      `HEADWATER_KEYS_FOLDER: the key in ${file} is shorter than ${MIN_KEY} bytes`,
    );
  const fingerprint = createHmac('sha256', secret).update('headwater fingerprint').digest('hex').slice(0, 16);
  return { name, fingerprint, secret };
}
