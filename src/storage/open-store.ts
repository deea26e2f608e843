import { fileURLToPath } from 'node:url';
import { HeadwaterError } from '../base/errors.ts';
import { FsStore } from './fs-store.ts';
import type { ClaimableStore, ObjectStore } from './object-store.ts';

/**
 * Opens the store that the URL names: `file:///directory`.
 * @throws `bad-config` for any other URL
 */
export function openStore(url: string): ObjectStore & ClaimableStore {
  const parsed = URL.parse(url);
  if (parsed?.protocol === 'file:' && parsed.host === '') return new FsStore(fileURLToPath(parsed));
  throw new HeadwaterError('bad-config', `HEADWATER_STORAGE_URL must be file:/// and an absolute path`);
}
