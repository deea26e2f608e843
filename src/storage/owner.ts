import { HeadwaterError } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';
import type { ClaimableStore } from './object-store.ts';

/** Whose a store is. */
export interface StorageOwner {
  /** The installation's name. */
  readonly name: string;
  /** Of the installation's job tables: two databases may have installations of one name. */
  readonly id: string;
}

/** The object under the store's root that says so. No key of a file begins with a dot. */
export const OWNER_KEY = '.headwater-owner.json';

/**
 * Says in the store whose it is, once. Throws `bad-config` when it is another installation's: that one's janitor would remove
 * our files as nobody's, and ours would remove its.
 */
export async function claimStorage(store: ClaimableStore, owner: StorageOwner): Promise<void> {
  const written = await store.claim(OWNER_KEY); // a gateway may have no right to write
  const found = parseOwner(written || (await store.claim(OWNER_KEY, `${JSON.stringify(owner)}\n`)));
  if (found.name !== owner.name) throw anotherOwner(found.name, owner.name);
  if (found.id === owner.id) return;
  throw new HeadwaterError(
    'bad-config',
    `HEADWATER_STORAGE_URL belongs to an installation "${owner.name}" with another database: set it to a folder of its own, or, ` +
      `if this database has taken the place of that one for good, remove ${OWNER_KEY} there`,
  );
}

/**
 * Compares the name alone, for a process that does not know the database.
 * Throws `bad-config` as `claimStorage` does, and `unavailable` while nobody has claimed the store.
 */
export async function checkStorage(store: ClaimableStore, name: string): Promise<void> {
  const text = await store.claim(OWNER_KEY);
  if (text === '')
    throw new HeadwaterError(
      'unavailable',
      `nobody has claimed HEADWATER_STORAGE_URL yet: a gateway or janitor does, at its start`,
    );
  const found = parseOwner(text);
  if (found.name !== name) throw anotherOwner(found.name, name);
}

function anotherOwner(found: string, name: string): HeadwaterError {
  return new HeadwaterError(
    'bad-config',
    `HEADWATER_STORAGE_URL belongs to the installation "${found}", and this one is "${name}" (HEADWATER_TOPIC_PREFIX): set it to a folder of its own`,
  );
}

function parseOwner(text: string): StorageOwner {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (isObject(value) && typeof value['name'] === 'string' && typeof value['id'] === 'string')
    return { name: value['name'], id: value['id'] };
  throw new HeadwaterError('bad-config', `${OWNER_KEY} in HEADWATER_STORAGE_URL does not say whose it is`);
}
