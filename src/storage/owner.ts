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
 * Records the owner in every part of the store, once. Throws `bad-config` if one belongs to another installation: each janitor would
 * remove the files of the other installation, because it does not know their jobs.
 */
export async function claimStorage(store: ClaimableStore, owner: StorageOwner): Promise<void> {
  for (const root of store.roots) {
    const key = root + OWNER_KEY;
    const written = await store.claim(key); // read first: a gateway may have no right to write
    const found = parseOwner(written || (await store.claim(key, `${JSON.stringify(owner)}\n`)), key);
    if (found.name !== owner.name) throw anotherOwner(found.name, owner.name, root);
    if (found.id === owner.id) continue;
    throw new HeadwaterError(
      'bad-config',
      `${settingOf(root)} belongs to an installation "${owner.name}" with another database: set it to another folder or, ` +
        `if this database has replaced that one permanently, remove ${key} there`,
    );
  }
}

/**
 * Compares only the name, for a process without access to the database.
 * Throws `bad-config` as `claimStorage` does, and `unavailable` until a process has claimed the store.
 */
export async function checkStorage(store: ClaimableStore, name: string): Promise<void> {
  for (const root of store.roots) {
    const text = await store.claim(root + OWNER_KEY);
    if (text === '')
      throw new HeadwaterError(
        'unavailable',
        `${settingOf(root)} has no owner yet: a gateway or janitor records one when it starts`,
      );
    const found = parseOwner(text, root + OWNER_KEY);
    if (found.name !== name) throw anotherOwner(found.name, name, root);
  }
}

/** The setting that names a part of the store. */
function settingOf(root: string): string {
  return root === '' ? 'HEADWATER_STORAGE_URL' : `"${root.slice(0, -1)}" of HEADWATER_CONTAINERS`;
}

function anotherOwner(found: string, name: string, root: string): HeadwaterError {
  return new HeadwaterError(
    'bad-config',
    `${settingOf(root)} belongs to the installation "${found}", and this one is "${name}" (HEADWATER_TOPIC_PREFIX): set it to a folder of its own`,
  );
}

function parseOwner(text: string, key: string): StorageOwner {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (isObject(value) && typeof value['name'] === 'string' && typeof value['id'] === 'string')
    return { name: value['name'], id: value['id'] };
  throw new HeadwaterError('bad-config', `${key} in HEADWATER_STORAGE_URL does not name an owner`);
}
