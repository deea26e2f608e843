import { randomBytes, randomUUID } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import type { StorageSettings } from '../config/settings.ts';
import { parseStorageUrl } from '../config/storage-url.ts';
import { openStore } from './open-store.ts';
import type { Store } from './open-store.ts';

/** The steps of a check, in their order. */
export type CheckStep = 'open' | 'write' | 'sign' | 'download' | 'compare' | 'delete';

/** The result of a check of the store: the step that failed and its reason, or neither. */
export interface StorageReport {
  readonly status: 'ok' | 'failed';
  readonly type: 'fs' | 's3' | 'gcs' | 'azure';
  /** The directory of `fs`; buckets or containers of the others. */
  readonly bucket: string;
  /** The account of Azure. */
  readonly account?: string;
  /** Where the credentials come from. */
  readonly identity: 'none' | 'stored credentials' | 'workload';
  readonly step?: CheckStep;
  readonly reason?: string;
}

const CHECK_BYTES = 1_000;
const URL_MS = 60_000;

/**
 * Does with a small object all that an export and its client do: write, sign, download by the signed URL, compare, delete. A store
 * without signed URLs is read instead. Does so in every bucket that the settings name. Throws `bad-config` if they name no store.
 */
export async function checkStore(settings: StorageSettings): Promise<StorageReport> {
  const place = parseStorageUrl(settings.storageUrl);
  const about = {
    type: place.type,
    bucket: place.type === 'fs' ? place.directory : place.bucket,
    ...(place.type === 'azure' && { account: place.account }),
    identity: identityOf(place.type, settings),
  };
  let step: CheckStep = 'open';
  let where = about.bucket;
  try {
    const store = await openStore(settings);
    for (const root of store.roots) {
      where = root === '' ? about.bucket : root.slice(0, -1);
      await checkRoot(store, root, (next) => (step = next));
    }
    return { status: 'ok', ...about };
  } catch (error) {
    return { status: 'failed', ...about, bucket: where, step, reason: messageOf(error) };
  }
}

async function checkRoot(store: Store, root: string, begin: (step: CheckStep) => void): Promise<void> {
  const folder = `${root}storage-check-${randomUUID()}/`;
  const key = `${folder}object`;
  const written = randomBytes(CHECK_BYTES);
  begin('write');
  const writer = await store.create(key, 'application/octet-stream');
  try {
    await writer.write(written);
    await writer.finish();
    begin('sign');
    const download = {
      expiresAt: Date.now() + URL_MS,
      contentType: 'application/octet-stream',
      fileName: 'object',
    };
    const signed = await store.downloadUrl(key, download);
    begin('download');
    const read = signed ? await fetched(signed.url) : await buffer(await store.read(key));
    begin('compare');
    if (!read.equals(written)) throw new Error('the downloaded bytes are not those that were written');
  } catch (error) {
    await writer.abort();
    await store.deletePrefix(folder).catch(() => undefined); // the first error is the one to report
    throw error;
  }
  begin('delete');
  await store.deletePrefix(folder);
}

async function fetched(url: string): Promise<Buffer> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(URL_MS) });
  const body = Buffer.from(await answer.arrayBuffer());
  if (answer.ok) return body;
  const words = body.toString().replaceAll(/\s+/g, ' ').slice(0, 300);
  throw new HeadwaterError(
    'refused',
    `the store refuses the URL that was signed for it: ${answer.status} ${words}`,
  );
}

function identityOf(type: StorageReport['type'], settings: StorageSettings): StorageReport['identity'] {
  const stored = {
    fs: undefined,
    s3: settings.s3AccessKeyId,
    gcs: settings.gcsPrivateKey,
    azure: settings.azureAccountKey,
  }[type];
  if (type === 'fs') return 'none';
  return stored === undefined ? 'workload' : 'stored credentials';
}
