import {
  AbortMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { BlockPool, BlockWriter } from './block-writer.ts';
import type { ListMultipartUploadsCommandOutput, ObjectIdentifier, S3ClientConfig } from '@aws-sdk/client-s3';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { HeadwaterError } from '../base/errors.ts';
import { checkedStream } from './checked-stream.ts';
import { Buckets } from './buckets.ts';
import type { Place } from './buckets.ts';
import { checkFolder, checkKey, checkPrefix, isVisible, noObject, removedMeanwhile } from './object-key.ts';
import type {
  ByteRange,
  ClaimableStore,
  Download,
  DownloadUrl,
  ObjectInfo,
  ObjectStore,
  ObjectWriter,
} from './object-store.ts';
import { COMPLETION_MARKER } from './object-store.ts';
import { PART_BYTES, S3Upload } from './s3-upload.ts';
import { meaningOfS3 } from './s3-errors.ts';
import { storageError } from './storage-error.ts';
import type { Step } from './storage-error.ts';

export interface S3Options {
  readonly bucket: string;
  /** Folders without a `/` at either end. */
  readonly prefix: string;
  /** Buckets that a client may choose. */
  readonly otherBuckets: readonly string[];
  /** undefined = Amazon's endpoint of the region. */
  readonly endpoint: string | undefined;
  /** undefined = what the environment of the AWS SDK names. */
  readonly region: string | undefined;
  /** The bucket stands in the path and not in the name of the host. */
  readonly pathStyle: boolean;
  /** undefined = the default chain of the AWS SDK. */
  readonly credentials:
    | { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string }
    | undefined;
}

/** Tries of one request, with growing random pauses. */
const MAX_ATTEMPTS = 5;
/** The longest that Amazon lets a signed URL live, in ms. */
const MAX_URL_MS = 7 * 86_400_000;
/** Credentials that end sooner are renewed before they sign a URL, in ms: the URL ends with them. The SDK renews at 5 minutes. */
const MIN_CREDENTIALS_MS = 10 * 60_000;
/** Instances get the same credentials again until AWS replaces them, so they are asked this seldom, in ms. */
const RENEWALS_APART_MS = 60_000;
/** S3 takes as many keys in one request. */
const KEYS_PER_DELETE = 1000;

/**
 * Stores objects in S3, or in a store with its protocol. Each part carries its SHA-256, which the store compares. An object exists
 * when its upload is completed. A crash leaves an unfinished upload, which `deletePrefix` aborts.
 */
export class S3Store implements ObjectStore, ClaimableStore {
  readonly #buckets: Buckets;
  readonly #client: S3Client;
  readonly #blocks = new BlockPool(PART_BYTES);
  /** The last renewal of credentials for a signature, and when it began, in ms since 1970. */
  #renewal: { readonly at: number; readonly done: Promise<unknown> } = { at: 0, done: Promise.resolve() };

  constructor({ bucket, prefix, otherBuckets, endpoint, region, pathStyle, credentials }: S3Options) {
    this.#buckets = new Buckets(bucket, prefix, otherBuckets);
    const config: S3ClientConfig = {
      maxAttempts: MAX_ATTEMPTS,
      retryMode: 'standard',
      forcePathStyle: pathStyle,
      requestHandler: {
        connectionTimeout: 5_000,
        socketTimeout: 60_000,
        httpsAgent: { maxSockets: 64 },
        httpAgent: { maxSockets: 64 },
      },
      ...(endpoint !== undefined && { endpoint }),
      ...(region !== undefined && { region }),
      ...(credentials && { credentials }),
    };
    this.#client = new S3Client(config);
    // Each upload carries a signed SHA-256 of its bytes already. Without this header the SDK would compute another one to sign.
    this.#client.middlewareStack.add(
      (next) => (args) => {
        const { headers } = args.request as { headers: Record<string, string> };
        if ('x-amz-checksum-sha256' in headers) headers['x-amz-content-sha256'] ??= 'UNSIGNED-PAYLOAD';
        return next(args);
      },
      { step: 'build', priority: 'low', name: 'unsignedPayload' },
    );
  }

  get roots(): readonly string[] {
    return this.#buckets.roots;
  }

  create(key: string, contentType: string): Promise<ObjectWriter> {
    return Promise.try(() => this.#create(key, contentType));
  }

  #create(key: string, contentType: string): ObjectWriter {
    const place = this.#buckets.place(checkKey(key));
    const upload = new S3Upload(this.#client, at(place), contentType);
    const doing = (work: () => Promise<void>): Promise<void> =>
      this.#doing('write', place, work).catch(async (error: unknown) => {
        if (!isMissing(error, 'NoSuchUpload')) throw error;
        // The answer to the request that completed the upload may have been lost.
        if ((await this.head(key))?.bytes !== upload.bytes) throw removedMeanwhile(key);
      });
    return new BlockWriter(this.#blocks, {
      stage: (n, block) => doing(() => upload.stage(n, block)),
      commit: (count) => doing(() => upload.commit(count)),
      discard: () => upload.discard(),
    });
  }

  async read(key: string, range?: ByteRange): Promise<Readable> {
    const place = this.#buckets.place(checkKey(key));
    if (range && range.end <= range.start) {
      if (!(await this.head(key))) throw noObject(key);
      return Readable.from([]);
    }
    const Range = range && `bytes=${range.start}-${range.end - 1}`;
    try {
      const { Body } = await this.#doing('read', place, () =>
        this.#client.send(new GetObjectCommand({ ...at(place), ...(Range !== undefined && { Range }) })),
      );
      return checkedStream(Body as Readable, key);
    } catch (error) {
      throw isMissing(error, 'NoSuchKey') ? noObject(key) : error;
    }
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    const place = this.#buckets.place(checkKey(key));
    try {
      const found = await this.#doing('read', place, () =>
        this.#client.send(new HeadObjectCommand(at(place))),
      );
      return infoOf(key, found.ContentLength, found.LastModified);
    } catch (error) {
      if (isMissing(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    for (const place of this.#buckets.search(checkPrefix(prefix))) {
      for await (const page of this.#pages(place)) {
        for (const { Key: name = '', Size, LastModified } of page.Contents ?? []) {
          const key = this.#buckets.key({ bucket: place.bucket, name });
          if (isVisible(key)) yield infoOf(key, Size, LastModified);
        }
      }
    }
  }

  async deletePrefix(prefix: string): Promise<void> {
    const place = this.#buckets.place(checkFolder(prefix));
    // Readers that watch the bucket take a folder for whole while its marker is there.
    await this.#delete(place.bucket, [{ Key: place.name + COMPLETION_MARKER }]);
    for await (const { Uploads = [] } of this.#unfinished(place)) {
      for (const { Key, UploadId } of Uploads)
        await this.#doing('delete', place, () =>
          this.#client.send(new AbortMultipartUploadCommand({ Bucket: place.bucket, Key, UploadId })),
        ).catch((error: unknown) => {
          if (!isMissing(error, 'NoSuchUpload')) throw error;
        });
    }
    for await (const { Contents = [] } of this.#pages(place))
      await this.#delete(
        place.bucket,
        Contents.map(({ Key }) => ({ Key })),
      );
  }

  async *folders(parent?: string): AsyncIterable<string> {
    const place = this.#buckets.place(parent === undefined ? '' : `${checkKey(parent)}/`);
    const seen = new Set<string>();
    const fresh = (path = ''): readonly string[] => {
      const [name = '', ...rest] = path.slice(place.name.length).split('/');
      if (rest.length === 0 || seen.has(name) || !isVisible(name)) return [];
      seen.add(name);
      return [parent === undefined ? name : `${parent}/${name}`];
    };
    for await (const { CommonPrefixes = [] } of this.#pages(place, '/'))
      for (const { Prefix } of CommonPrefixes) yield* fresh(Prefix);
    for await (const { Uploads = [] } of this.#unfinished(place))
      for (const { Key } of Uploads) yield* fresh(Key);
  }

  async claim(key: string, content?: string): Promise<string> {
    const place = this.#buckets.place(key);
    if (content !== undefined) {
      await this.#doing('write', place, () =>
        this.#client.send(
          new PutObjectCommand({
            ...at(place),
            Body: content,
            IfNoneMatch: '*',
            ContentType: 'application/json',
          }),
        ),
      ).catch((error: unknown) => {
        if (!isMissing(error, 'PreconditionFailed') && !isMissing(error, 'ConditionalRequestConflict'))
          throw error;
      });
    }
    try {
      const { Body } = await this.#doing('read', place, () =>
        this.#client.send(new GetObjectCommand(at(place))),
      );
      return await text(Body as Readable);
    } catch (error) {
      if (isMissing(error, 'NoSuchKey')) return '';
      throw error;
    }
  }

  async downloadUrl(key: string, { expiresAt, contentType, fileName }: Download): Promise<DownloadUrl> {
    const place = this.#buckets.place(checkKey(key));
    const { expiration } = await this.#doing('sign', place, () => this.#signingCredentials());
    const now = Date.now();
    const until = Math.min(expiresAt, now + MAX_URL_MS, expiration?.getTime() ?? Infinity);
    const seconds = Math.max(1, Math.floor((until - now) / 1000));
    const command = new GetObjectCommand({
      ...at(place),
      ResponseContentType: contentType,
      ResponseContentDisposition: `attachment; filename="${fileName}"`,
    });
    const signingDate = new Date(Math.floor(now / 1000) * 1000);
    const url = await this.#doing('sign', place, () =>
      getSignedUrl(this.#client, command, { expiresIn: seconds, signingDate }),
    );
    return { url, expiresAt: signingDate.getTime() + seconds * 1000 };
  }

  /** The credentials that sign next. Renews them if they end soon; keeps them if that fails. */
  async #signingCredentials() {
    const { credentials } = this.#client.config;
    const known = await credentials();
    const now = Date.now();
    if ((known.expiration?.getTime() ?? Infinity) > now + MIN_CREDENTIALS_MS) return known;
    if (now >= this.#renewal.at + RENEWALS_APART_MS)
      this.#renewal = { at: now, done: credentials({ forceRefresh: true }).catch(() => undefined) };
    await this.#renewal.done;
    return credentials();
  }

  async *#pages({ bucket: Bucket, name: Prefix }: Place, Delimiter?: string) {
    const pages = paginateListObjectsV2(
      { client: this.#client },
      { Bucket, Prefix, ...(Delimiter !== undefined && { Delimiter }) },
    );
    for (;;) {
      const { value, done } = await this.#doing('list', { bucket: Bucket, name: Prefix }, () => pages.next());
      if (done === true) return;
      yield value;
    }
  }

  async *#unfinished({ bucket: Bucket, name: Prefix }: Place) {
    let after: Pick<ListMultipartUploadsCommandOutput, 'NextKeyMarker' | 'NextUploadIdMarker'> = {};
    for (;;) {
      const page: ListMultipartUploadsCommandOutput = await this.#doing(
        'list',
        { bucket: Bucket, name: Prefix },
        () =>
          this.#client.send(
            new ListMultipartUploadsCommand({
              Bucket,
              Prefix,
              KeyMarker: after.NextKeyMarker,
              UploadIdMarker: after.NextUploadIdMarker,
            }),
          ),
      );
      yield page;
      if (page.IsTruncated !== true) return;
      after = page;
    }
  }

  async #delete(Bucket: string, objects: readonly ObjectIdentifier[]): Promise<void> {
    for (let from = 0; from < objects.length; from += KEYS_PER_DELETE) {
      const Objects = objects.slice(from, from + KEYS_PER_DELETE);
      const place = { bucket: Bucket, name: Objects[0]?.Key ?? '' };
      const { Errors: [first] = [] } = await this.#doing('delete', place, () =>
        this.#client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } })),
      );
      if (!first || first.Code === 'NoSuchKey') continue;
      const error = Object.assign(new Error(first.Message ?? ''), { name: first.Code ?? 'Error' });
      throw this.#error(error, 'delete', { bucket: Bucket, name: first.Key ?? '' });
    }
  }

  async #doing<T>(step: Step, place: Place, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#error(error, step, place);
    }
  }

  #error(error: unknown, step: Step, { bucket, name }: Place): unknown {
    if (error instanceof HeadwaterError) return error;
    const meaning = meaningOfS3(error, step, bucket);
    return meaning ? storageError(step, `s3://${bucket}/${name}`, meaning, error) : error;
  }
}

function at({ bucket, name }: Place): { Bucket: string; Key: string } {
  return { Bucket: bucket, Key: name };
}

function infoOf(key: string, bytes: number | undefined, modified: Date | undefined): ObjectInfo {
  return { key, bytes: bytes ?? 0, modifiedAt: modified?.getTime() ?? 0 };
}

function isMissing(error: unknown, name: string): boolean {
  return (error as Error | undefined)?.name === name;
}
