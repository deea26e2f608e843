import { HeadwaterError } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';
import type { ClaimableStore } from './object-store.ts';

/** The installation that a store belongs to. */
export interface StorageOwner {
  /** The installation's name. */
  readonly name: string;
  /** Id from the installation's job tables, because two databases may have installations of one name. */
  readonly id: string;
}

/** The object under the store's root that names the owner. No key of a file begins with a dot. */
export const OWNER_KEY = '.headwater-owner.json';

/**
 * Records the owner in the store, once. Throws `bad-config` if the store belongs to another installation: each janitor would
 * remove the files of the other installation, because it does not know their jobs.
 */
export async function claimStorage(store: ClaimableStore, owner: StorageOwner): Promise<void> {
  const written = await store.claim(OWNER_KEY); // read first: a gateway may have no right to write
  const found = parseOwner(written || (await store.claim(OWNER_KEY, `${JSON.stringify(owner)}\n`)));
  if (found.name !== owner.name) throw anotherOwner(found.name, owner.name);
  if (found.id === owner.id) return;
  throw new HeadwaterError(
    'bad-config',
    `HEADWATER_STORAGE_URL belongs to an installation "${owner.name}" with another database: set it to another folder or, ` +
      `if this database has replaced that one permanently, remove ${OWNER_KEY} there`,
  );
}

/**
 * Compares only the name, for a process without access to the database.
 * Throws `bad-config` as `claimStorage` does, and `unavailable` until a process has claimed the store.
 */
export async function checkStorage(store: ClaimableStore, name: string): Promise<void> {
  const text = await store.claim(OWNER_KEY);
  if (text === '')
    throw new HeadwaterError(
      'unavailable',
      `HEADWATER_STORAGE_URL has no owner yet: a gateway or janitor records one when it starts`,
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
  throw new HeadwaterError('bad-config', `${OWNER_KEY} in HEADWATER_STORAGE_URL does not name an owner`);
}
