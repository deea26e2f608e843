import { createHmac } from 'node:crypto';
import { HeadwaterError } from '../base/errors.ts';
import type { Config, Method } from './config.ts';

/** The keys of a configuration, as bytes. */
export interface Keys {
  readonly cryptoHash?: Buffer | undefined;
  readonly dateShift?: Buffer | undefined;
  readonly encrypt?: Buffer | undefined;
}

const AES_LENGTHS: readonly number[] = [16, 24, 32];

/**
 * Returns the keys that a configuration works with: the given ones, else those in the file.
 * @throws bad-config if a key of a method is missing, or has the wrong length
 */
export function keysOf({ rules, parameters }: Config, given: Keys, place: string): Keys {
  const own = (text: string): Buffer | undefined => (text === '' ? undefined : Buffer.from(text));
  const keys: Keys = {
    cryptoHash: given.cryptoHash ?? own(parameters.cryptoHashKey),
    dateShift: given.dateShift ?? own(parameters.dateShiftKey),
    encrypt: given.encrypt ?? own(parameters.encryptKey),
  };
  const uses = (method: Method): boolean => rules.some((rule) => rule.method === method);
  const needs = (name: keyof Keys, why: string): void => {
    if (!keys[name]?.length) throw new HeadwaterError('bad-config', `${place}: ${why} needs the key ${name}`);
  };
  if (uses('cryptoHash')) needs('cryptoHash', 'the method cryptoHash');
  if (uses('dateShift') && parameters.dateShiftFixedOffsetInDays === undefined)
    needs('dateShift', 'the method dateShift');
  if (uses('encrypt')) needs('encrypt', 'the method encrypt');
  if (uses('perturb') && !noiseKeyOf(keys)) needs('cryptoHash', 'the method perturb');
  if (keys.encrypt && !AES_LENGTHS.includes(keys.encrypt.length))
    throw new HeadwaterError(
      'bad-config',
      `${place}: the key encrypt has ${keys.encrypt.length} bytes; AES needs 16, 24 or 32`,
    );
  return keys;
}

/** The key of noise: the first key that there is. */
export function noiseKeyOf({ cryptoHash, dateShift, encrypt }: Keys): Buffer | undefined {
  return cryptoHash ?? dateShift ?? encrypt;
}

/** Returns what tells one key from another, without telling the key: 16 hex digits for each. */
export function fingerprintsOf(keys: Keys): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(keys).flatMap(([name, key]: [string, Buffer | undefined]) =>
      key
        ? [[name, createHmac('sha256', key).update('headwater fingerprint').digest('hex').slice(0, 16)]]
        : [],
    ),
  );
}
