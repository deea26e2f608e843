import {
  BlobSASPermissions,
  BlobServiceClient,
  generateBlobSASQueryParameters,
  SASProtocol,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { BlockBlobClient, ContainerClient, UserDelegationKey } from '@azure/storage-blob';
import type { TokenCredential } from '@azure/identity';
import { createHash, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { HeadwaterError } from '../base/errors.ts';
import { meaningOfAzure, tellingError } from './azure-errors.ts';
import { BlockPool, BlockWriter } from './block-writer.ts';
import { checkedStream } from './checked-stream.ts';
import { Buckets } from './buckets.ts';
import type { Place } from './buckets.ts';
import { checkFolder, checkKey, checkPrefix, isVisible, noObject, removedMeanwhile } from './object-key.ts';
import { COMPLETION_MARKER } from './object-store.ts';
import type {
  ByteRange,
  ClaimableStore,
  Download,
  DownloadUrl,
  ObjectInfo,
  ObjectStore,
  ObjectWriter,
} from './object-store.ts';
import { storageError } from './storage-error.ts';
import type { Step } from './storage-error.ts';

export interface AzureOptions {
  readonly account: string;
  /** URL of the account's blobs, as https://account.blob.core.windows.net. */
  readonly endpoint: string;
  readonly container: string;
  /** Folders without a `/` at either end. */
  readonly prefix: string;
  /** Containers that a client may choose. */
  readonly otherContainers: readonly string[];
  readonly credential: { readonly accountKey: string } | TokenCredential;
  /** Version of the signed URLs; undefined = the SDK's. */
  readonly sasVersion: string | undefined;
}

/** Azure takes 50 000 blocks, hence 200 GB an object. */
const BLOCK_BYTES = 4 * 2 ** 20;
const HOUR = 3_600_000;
/** The longest life of a key for signing that is made for a token, in ms. Azure refuses one that ends later by its own clock. */
const MAX_KEY_MS = 7 * 24 * HOUR;
/** How far the clocks of this machine and of Azure may differ, in ms. */
const MAX_SKEW_MS = HOUR / 4;
/** Blobs that are deleted at a time. */
const DELETES_AT_A_TIME = 16;

/**
 * Stores objects as block blobs in Azure Blob Storage, also of Data Lake accounts. Each block carries its MD5, which the store
 * compares. A blob exists when its blocks are committed. A crash leaves blocks without a blob, which `deletePrefix` discards.
 */
export class AzureStore implements ObjectStore, ClaimableStore {
  readonly #options: AzureOptions;
  readonly #containers: Buckets;
  readonly #service: BlobServiceClient;
  readonly #blocks = new BlockPool(BLOCK_BYTES);
  readonly #sharedKey: StorageSharedKeyCredential | undefined;
  #signing: { readonly key: UserDelegationKey; readonly madeAt: number } | undefined;

  constructor(options: AzureOptions) {
    const { account, endpoint, container, prefix, otherContainers, credential } = options;
    this.#options = options;
    this.#containers = new Buckets(container, prefix, otherContainers);
    this.#sharedKey =
      'accountKey' in credential ? new StorageSharedKeyCredential(account, credential.accountKey) : undefined;
    this.#service = new BlobServiceClient(endpoint, this.#sharedKey ?? (credential as TokenCredential), {
      retryOptions: { maxTries: 5, tryTimeoutInMs: 60_000, retryDelayInMs: 300, maxRetryDelayInMs: 10_000 },
    });
  }

  get roots(): readonly string[] {
    return this.#containers.roots;
  }

  create(key: string, contentType: string): Promise<ObjectWriter> {
    return Promise.try(() => {
      const place = this.#containers.place(checkKey(key));
      const blob = this.#blob(place);
      const writer = randomUUID();
      /** Ids of the blocks of one blob have the same length, and are no other writer's. */
      const idOf = (n: number): string =>
        Buffer.from(`${writer}-${String(n).padStart(6, '0')}`).toString('base64');
      const hashes = createHash('md5');
      return new BlockWriter(this.#blocks, {
        stage: async (n, block) => {
          const md5 = createHash('md5').update(block).digest();
          hashes.update(md5);
          await this.#doing('write', place, () =>
            blob.stageBlock(idOf(n), block, block.length, { transactionalContentMD5: md5 }),
          );
        },
        commit: async (count) => {
          const ids = Array.from({ length: count }, (_, n) => idOf(n));
          const content = hashes.digest('hex');
          const options = {
            blobHTTPHeaders: { blobContentType: contentType },
            metadata: { blocks: content },
          };
          try {
            await this.#doing('write', place, () => blob.commitBlockList(ids, options));
          } catch (error) {
            if (codeOf(error) !== 'InvalidBlockList') throw error;
            await this.#explainLostBlocks(key, place, content);
          }
        },
        // Only a commit discards blocks, also those of other writers: they go with the folder, or after a week.
        discard: () => Promise.resolve(),
      });
    });
  }

  /** Returns if another writer has committed the same bytes meanwhile, which discards the blocks of all others. Throws otherwise. */
  async #explainLostBlocks(key: string, place: Place, content: string): Promise<void> {
    const found = await this.#found(place);
    if (!found) throw removedMeanwhile(key);
    if (found.metadata?.['blocks'] !== content)
      throw new HeadwaterError('unavailable', `another writer has finished ${key} meanwhile`, {
        subject: key,
      });
  }

  async read(key: string, range?: ByteRange): Promise<Readable> {
    const place = this.#containers.place(checkKey(key));
    const info = await this.head(key);
    if (!info) throw noObject(key);
    const { start, end } = range ?? { start: 0, end: info.bytes };
    if (end <= start || start >= info.bytes) return Readable.from([]);
    const answer = await this.#doing('read', place, () =>
      this.#blob(place).download(start, Math.min(end, info.bytes) - start, { maxRetryRequests: 3 }),
    );
    return checkedStream(answer.readableStreamBody as Readable, key);
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    const found = await this.#found(this.#containers.place(checkKey(key)));
    return found && infoOf(key, found.contentLength, found.lastModified);
  }

  async #found(place: Place) {
    try {
      return await this.#doing('read', place, () => this.#blob(place).getProperties());
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    for (const place of this.#containers.search(checkPrefix(prefix))) {
      for await (const { name, properties } of this.#blobs(place)) {
        const key = this.#containers.key({ bucket: place.bucket, name });
        if (isVisible(key)) yield infoOf(key, properties.contentLength, properties.lastModified);
      }
    }
  }

  async deletePrefix(prefix: string): Promise<void> {
    const place = this.#containers.place(checkFolder(prefix));
    const each = (unfinished: boolean, work: (blob: BlockBlobClient) => Promise<unknown>): Promise<void> =>
      Readable.from(this.#blobs(place, { unfinished })).forEach(
        async ({ name }: { name: string }) => {
          const one = { ...place, name };
          await this.#doing('delete', one, () => work(this.#blob(one)));
        },
        { concurrency: DELETES_AT_A_TIME },
      );
    const marker = { ...place, name: place.name + COMPLETION_MARKER };
    await this.#doing('delete', marker, () => this.#blob(marker).deleteIfExists()); // a folder without it is not complete
    await each(false, (blob) => blob.deleteIfExists({ deleteSnapshots: 'include' }));
    // The rest has blocks and no blob. Only a commit discards blocks.
    await each(true, async (blob) => {
      await blob.commitBlockList([]);
      await blob.deleteIfExists();
    });
  }

  async *folders(parent?: string): AsyncIterable<string> {
    const place = this.#containers.place(parent === undefined ? '' : `${checkKey(parent)}/`);
    const items = this.#container(place.bucket).listBlobsByHierarchy('/', {
      prefix: place.name,
      includeUncommitedBlobs: true,
    });
    for await (const item of this.#each(place, items)) {
      if (item.kind !== 'prefix') continue;
      const name = item.name.slice(place.name.length, -1);
      if (isVisible(name)) yield parent === undefined ? name : `${parent}/${name}`;
    }
  }

  async claim(key: string, content?: string): Promise<string> {
    const place = this.#containers.place(key);
    const blob = this.#blob(place);
    if (content !== undefined) {
      const bytes = Buffer.from(content);
      try {
        await this.#doing('write', place, () =>
          blob.upload(bytes, bytes.length, {
            conditions: { ifNoneMatch: '*' },
            blobHTTPHeaders: { blobContentType: 'application/json' },
          }),
        );
      } catch (error) {
        if (codeOf(error) !== 'BlobAlreadyExists' && codeOf(error) !== 'ConditionNotMet') throw error;
      }
    }
    try {
      const { readableStreamBody } = await this.#doing('read', place, () => blob.download());
      return await text(readableStreamBody as Readable);
    } catch (error) {
      if (isNotFound(error)) return '';
      throw error;
    }
  }

  async downloadUrl(key: string, { expiresAt, contentType, fileName }: Download): Promise<DownloadUrl> {
    const place = this.#containers.place(checkKey(key));
    const { account, endpoint, sasVersion } = this.#options;
    const userKey = this.#sharedKey ? undefined : await this.#userDelegationKey(place, expiresAt);
    const limit = userKey?.signedExpiresOn.getTime() ?? Infinity;
    const until = Math.floor(Math.min(expiresAt, limit) / 1000) * 1000;
    const values = {
      containerName: place.bucket,
      blobName: place.name,
      permissions: BlobSASPermissions.parse('r'),
      expiresOn: new Date(until),
      contentType,
      contentDisposition: `attachment; filename="${fileName}"`,
      protocol: endpoint.startsWith('https:') ? SASProtocol.Https : SASProtocol.HttpsAndHttp,
      ...(sasVersion !== undefined && { version: sasVersion }),
    };
    const query = this.#sharedKey
      ? generateBlobSASQueryParameters(values, this.#sharedKey)
      : generateBlobSASQueryParameters(values, userKey as UserDelegationKey, account);
    return { url: `${this.#blob(place).url}?${query.toString()}`, expiresAt: until };
  }

  /** Returns a key that signs for the identity of the workload until the time, or as long as Azure allows. */
  async #userDelegationKey(place: Place, until: number): Promise<UserDelegationKey> {
    const now = Date.now();
    const known = this.#signing;
    if (known && (known.key.signedExpiresOn.getTime() >= until || known.madeAt > now - HOUR))
      return known.key;
    const key = await this.#doing('sign', place, () =>
      this.#service.getUserDelegationKey(
        new Date(now - MAX_SKEW_MS),
        new Date(now + MAX_KEY_MS - MAX_SKEW_MS),
      ),
    );
    this.#signing = { key, madeAt: now };
    return key;
  }

  #blobs(place: Place, { unfinished = false } = {}) {
    const options = { prefix: place.name, includeUncommitedBlobs: unfinished };
    return this.#each(place, this.#container(place.bucket).listBlobsFlat(options));
  }

  async *#each<T>(place: Place, items: AsyncIterableIterator<T>): AsyncGenerator<T> {
    for (;;) {
      const next = await this.#doing('list', place, () => items.next());
      if (next.done === true) return;
      yield next.value;
    }
  }

  #container(name: string): ContainerClient {
    return this.#service.getContainerClient(name);
  }

  #blob({ bucket, name }: Place): BlockBlobClient {
    return this.#container(bucket).getBlockBlobClient(name);
  }

  async #doing<T>(step: Step, { bucket, name }: Place, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { account, endpoint } = this.#options;
      const meaning =
        error instanceof HeadwaterError
          ? undefined
          : meaningOfAzure(error, step, { account, container: bucket });
      throw meaning
        ? storageError(step, `${endpoint}/${bucket}/${name}`, meaning, tellingError(error))
        : error;
    }
  }
}

function codeOf(error: unknown): unknown {
  const { code, details } = (error ?? {}) as { code?: unknown; details?: { errorCode?: unknown } };
  return code ?? details?.errorCode;
}

function isNotFound(error: unknown): boolean {
  return (error as { statusCode?: number } | undefined)?.statusCode === 404;
}

function infoOf(key: string, bytes: number | undefined, modified: Date | undefined): ObjectInfo {
  return { key, bytes: bytes ?? 0, modifiedAt: modified?.getTime() ?? 0 };
}
