import { HeadwaterError } from '../base/errors.ts';

/** A part of a key begins with a letter, a digit or _, so it is neither `..` nor a hidden name. `=` is for `type=Patient`. */
export const KEY = /^[A-Za-z0-9_][A-Za-z0-9._=-]{0,199}(\/[A-Za-z0-9_][A-Za-z0-9._=-]{0,199})*$/;

/** Returns the key. Throws `bad-request` if it is not a key. */
export function checkKey(key: string): string {
  if (KEY.test(key)) return key;
  throw badKey(key);
}

/** Returns the prefix of a list, which may end in the middle of a name or be empty. Throws `bad-request` for any other text. */
export function checkPrefix(prefix: string): string {
  if (prefix === '' || KEY.test(prefix.replace(/\/$/, ''))) return prefix;
  throw badKey(prefix);
}

/** Returns the prefix of a folder, which ends in `/`. Throws `bad-request` for any other text. */
export function checkFolder(prefix: string): string {
  if (prefix.endsWith('/')) checkKey(prefix.slice(0, -1));
  else throw badKey(prefix);
  return prefix;
}

export function noObject(key: string): HeadwaterError {
  return new HeadwaterError('not-found', `there is no object ${key}`, { subject: key });
}

export function removedMeanwhile(key: string): HeadwaterError {
  return new HeadwaterError('not-found', `${key} was removed while it was written`, { subject: key });
}

function badKey(key: string): HeadwaterError {
  return new HeadwaterError(
    'bad-request',
    `"${key}" is not a key: use letters, digits, . _ = - and / between parts`,
  );
}

/** Whether a name in a bucket is the key of an object: our own marks begin with a dot, and other names are not ours. */
export function isVisible(key: string): boolean {
  return KEY.test(key);
}
