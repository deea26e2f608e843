import { fileURLToPath } from 'node:url';
import type { ValueType } from './value-types.ts';

/** The store that HEADWATER_STORAGE_URL names. A prefix has no `/` at either end and may be empty. */
export type StoragePlace =
  | { readonly type: 'fs'; readonly directory: string }
  | { readonly type: 's3' | 'gcs'; readonly bucket: string; readonly prefix: string }
  | { readonly type: 'azure'; readonly account: string; readonly bucket: string; readonly prefix: string };

const EXAMPLES =
  'file:///directory, s3://bucket/prefix, gs://bucket/prefix or https://account.blob.core.windows.net/container/prefix';
const PREFIX = /^(?:[A-Za-z0-9_][A-Za-z0-9._=-]{0,199}(?:\/[A-Za-z0-9_][A-Za-z0-9._=-]{0,199})*)?$/;

/** Throws an Error whose message says what the URL must be, without the URL: some carry credentials. */
export function parseStorageUrl(text: string): StoragePlace {
  const url = URL.parse(text);
  if (!url) throw new Error(`must be a URL: ${EXAMPLES}`);
  const { protocol, host } = url;
  if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '')
    throw new Error('must have no user, password or query: credentials have settings of their own');
  if (protocol === 'file:') {
    if (host === '') return { type: 'fs', directory: fileURLToPath(url) };
    throw new Error('must be file:/// and an absolute path');
  }
  const path = url.pathname.replace(/^\/+|\/+$/g, '');
  if (protocol === 's3:' || protocol === 'gs:') {
    if (host === '')
      throw new Error(`names no bucket: bucket not specified, as in ${protocol}//bucket/prefix`);
    return { type: protocol === 's3:' ? 's3' : 'gcs', bucket: host, prefix: checkedPrefix(path) };
  }
  if (protocol === 'https:') {
    const account = /^([a-z0-9]{3,24})\.(?:blob|dfs)\.core\.[a-z.]+$/.exec(host)?.[1];
    if (account === undefined)
      throw new Error(
        'names no account of Azure: account not specified, as in https://account.blob.core.windows.net/container/prefix',
      );
    const [bucket = '', ...rest] = path.split('/');
    if (bucket === '')
      throw new Error(`names no container: bucket not specified, as in https://${host}/container/prefix`);
    return { type: 'azure', account, bucket, prefix: checkedPrefix(rest.join('/')) };
  }
  throw new Error(`names an unsupported storage type (${protocol}//): use ${EXAMPLES}`);
}

function checkedPrefix(path: string): string {
  if (PREFIX.test(path)) return path;
  throw new Error(
    'must have a prefix of letters, digits, . _ = - and / between parts, each part beginning with a letter or digit',
  );
}

export const storageUrl: ValueType<string> = {
  name: 'URL',
  parse: (value) => {
    parseStorageUrl(value);
    return value.replace(/\/+$/, '');
  },
};
