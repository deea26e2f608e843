import { Storage, IdempotencyStrategy } from '@google-cloud/storage';
import type { Bucket, CRC32CValidator, File, StorageOptions } from '@google-cloud/storage';
import { crc32c } from '@node-rs/crc32';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import { checkedStream } from './checked-stream.ts';
import { Buckets } from './buckets.ts';
import type { Place } from './buckets.ts';
import { GcsAuth, PROJECT } from './gcs-auth.ts';
import { meaningOfGcs, statusOf } from './gcs-errors.ts';
import { checkFolder, checkKey, checkPrefix, isVisible, noObject } from './object-key.ts';
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
import { UploadWriter } from './upload-writer.ts';

export interface GcsOptions {
  readonly bucket: string;
  /** Folders without a `/` at either end. */
  readonly prefix: string;
  /** Buckets that a client may choose. */
  readonly otherBuckets: readonly string[];
  /** undefined = Google's. */
  readonly endpoint: string | undefined;
  /** URL of IAM Credentials; undefined = Google's. */
  readonly iamEndpoint: string | undefined;
  /** undefined = Google's application default credentials; they sign by IAM if they have no private key. */
  readonly credentials: { readonly clientEmail: string; readonly privateKey: string } | undefined;
}

const MiB = 2 ** 20;
/** Bytes of one request of a resumable upload. A smaller object is sent in one request. */
const CHUNK_BYTES = 8 * MiB;
/** The longest that Google lets a signed URL live, in ms. */
const MAX_URL_MS = 7 * 86_400_000;
/** Objects that are deleted at a time. */
const DELETES_AT_A_TIME = 16;

/**
 * Stores objects in Google Cloud Storage. An object is compared by its CRC32C and exists when its upload is completed. An upload that
 * a crash left unfinished is invisible; Google forgets it after a week.
 */
export class GcsStore implements ObjectStore, ClaimableStore {
  readonly #buckets: Buckets;
  readonly #auth: GcsAuth;
  readonly #storage: Storage;
  /** Where IAM signs, by the e-mail address that the SDK appends. undefined = Google's. */
  readonly #signingEndpoint: string | undefined;

  constructor({ bucket, prefix, otherBuckets, endpoint, iamEndpoint, credentials }: GcsOptions) {
    this.#buckets = new Buckets(bucket, prefix, otherBuckets);
    this.#auth = credentials
      ? GcsAuth.ofServiceAccount(credentials.clientEmail, credentials.privateKey)
      : GcsAuth.ofWorkload();
    this.#signingEndpoint =
      iamEndpoint === undefined
        ? undefined
        : `${iamEndpoint.replace(/\/+$/, '')}/v1/projects/-/serviceAccounts/`;
    const options: StorageOptions = {
      retryOptions: { maxRetries: 3, totalTimeout: 15, idempotencyStrategy: IdempotencyStrategy.RetryAlways },
      timeout: 60_000,
      crc32cGenerator: () => new Crc32c(),
      ...(endpoint !== undefined && { apiEndpoint: endpoint, useAuthWithCustomEndpoint: true }),
      projectId: PROJECT,
      authClient: this.#auth,
    };
    this.#storage = new Storage(options);
  }

  get roots(): readonly string[] {
    return this.#buckets.roots;
  }

  create(key: string, contentType: string): Promise<ObjectWriter> {
    return Promise.try(() => {
      const place = this.#buckets.place(checkKey(key));
      return new UploadWriter((body) =>
        this.#doing('write', place, () => this.#send(place, contentType, body)),
      );
    });
  }

  /** Sends a small object in one request, and a larger one in several. */
  async #send(place: Place, contentType: string, body: Readable): Promise<void> {
    const file = this.#file(place);
    const first: Buffer[] = [];
    let bytes = 0;
    const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
    for (;;) {
      const { value, done } = await chunks.next();
      if (done === true)
        return file.save(Buffer.concat(first), { resumable: false, validation: 'crc32c', contentType });
      first.push(value);
      bytes += value.length;
      if (bytes >= CHUNK_BYTES) break;
    }
    const rest = async function* (): AsyncGenerator<Buffer> {
      for (let chunk = first.shift(); chunk; chunk = first.shift()) yield chunk;
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
    };
    // The upload's own URL needs no token, and without it the SDK sends none to an endpoint other than Google's.
    const [uri] = await file.createResumableUpload({ metadata: { contentType } });
    const upload = file.createWriteStream({
      uri,
      resumable: true,
      chunkSize: CHUNK_BYTES,
      validation: 'crc32c',
      contentType,
    });
    try {
      await pipeline(rest, upload);
    } catch (error) {
      await this.#cancel(uri);
      if ([400, 401, 403].includes(statusOf(error) ?? 0)) throw error;
      // Also when Google has forgotten the upload, or the SDK misreads that the last part has arrived: a new upload is exact.
      const options = { subject: place.name, cause: error };
      throw new HeadwaterError(
        'unavailable',
        `the upload of ${place.name} broke off: ${messageOf(error)}`,
        options,
      );
    }
  }

  /** Lets the store forget an unfinished upload. */
  async #cancel(url: string): Promise<void> {
    await this.#storage.authClient
      .request({ url, method: 'DELETE', validateStatus: () => true })
      .catch(() => undefined);
  }

  async read(key: string, range?: ByteRange): Promise<Readable> {
    const place = this.#buckets.place(checkKey(key));
    const info = await this.head(key);
    if (!info) throw noObject(key);
    if (range && (range.end <= range.start || range.start >= info.bytes)) return Readable.from([]);
    const headers = range && { Range: `bytes=${range.start}-${Math.min(range.end, info.bytes) - 1}` };
    const { data } = await this.#doing('read', place, () =>
      this.#storage.authClient.request<Readable>({
        url: `${this.#storage.apiEndpoint}/storage/v1/b/${place.bucket}/o/${encodeURIComponent(place.name)}`,
        params: { alt: 'media' },
        responseType: 'stream',
        ...(headers && { headers }),
      }),
    );
    return checkedStream(data, key);
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    const place = this.#buckets.place(checkKey(key));
    try {
      const [{ size, updated }] = await this.#doing('read', place, () => this.#file(place).getMetadata());
      return infoOf(key, size, updated);
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    for (const place of this.#buckets.search(checkPrefix(prefix))) {
      for await (const { files } of this.#pages(place)) {
        for (const { name, metadata } of files) {
          const key = this.#buckets.key({ bucket: place.bucket, name });
          if (isVisible(key)) yield infoOf(key, metadata.size, metadata.updated);
        }
      }
    }
  }

  async deletePrefix(prefix: string): Promise<void> {
    const place = this.#buckets.place(checkFolder(prefix));
    const remove = async (name: string): Promise<void> => {
      await this.#doing('delete', place, () =>
        this.#file({ ...place, name }).delete({ ignoreNotFound: true }),
      );
    };
    await remove(place.name + COMPLETION_MARKER); // a folder without it is not complete
    for await (const { files } of this.#pages(place))
      await Readable.from(files).forEach(({ name }: File) => remove(name), {
        concurrency: DELETES_AT_A_TIME,
      });
  }

  async *folders(parent?: string): AsyncIterable<string> {
    const place = this.#buckets.place(parent === undefined ? '' : `${checkKey(parent)}/`);
    for await (const { prefixes } of this.#pages(place, '/')) {
      for (const prefix of prefixes) {
        const name = prefix.slice(place.name.length, -1);
        if (isVisible(name)) yield parent === undefined ? name : `${parent}/${name}`;
      }
    }
  }

  async claim(key: string, content?: string): Promise<string> {
    const place = this.#buckets.place(key);
    if (content !== undefined) {
      await this.#doing('write', place, () =>
        this.#file(place).save(content, {
          resumable: false,
          contentType: 'application/json',
          preconditionOpts: { ifGenerationMatch: 0 },
        }),
      ).catch((error: unknown) => {
        if (statusOf(error) !== 412) throw error;
      });
    }
    try {
      const [found] = await this.#doing('read', place, () => this.#file(place).download());
      return found.toString();
    } catch (error) {
      if (statusOf(error) !== 404) throw error;
      for await (const _ of this.#pages(place)) break; // throws if it is the bucket that is missing
      return '';
    }
  }

  async downloadUrl(key: string, { expiresAt, contentType, fileName }: Download): Promise<DownloadUrl> {
    const place = this.#buckets.place(checkKey(key));
    const now = Math.floor(Date.now() / 1000) * 1000;
    const until = Math.floor(Math.max(now + 1000, Math.min(expiresAt, now + MAX_URL_MS)) / 1000) * 1000;
    const sign = () =>
      this.#file(place).getSignedUrl({
        version: 'v4',
        action: 'read',
        accessibleAt: now,
        expires: until,
        responseType: contentType,
        responseDisposition: `attachment; filename="${fileName}"`,
        ...(this.#signingEndpoint !== undefined && { signingEndpoint: this.#signingEndpoint }),
      });
    const [url] = await this.#doing('sign', place, () => this.#auth.signing(sign));
    return { url, expiresAt: until };
  }

  async *#pages(
    { bucket, name }: Place,
    delimiter?: string,
  ): AsyncGenerator<{ readonly files: readonly File[]; readonly prefixes: readonly string[] }> {
    let query: object | null = {
      prefix: name,
      autoPaginate: false,
      ...(delimiter !== undefined && { delimiter }),
    };
    while (query) {
      const current: object = query;
      const [files, next, answer] = await this.#doing('list', { bucket, name }, () =>
        this.#bucket(bucket).getFiles(current),
      );
      yield { files, prefixes: (answer as { prefixes?: string[] } | undefined)?.prefixes ?? [] };
      query = next ?? null;
    }
  }

  #bucket(name: string): Bucket {
    return this.#storage.bucket(name);
  }

  #file({ bucket, name }: Place): File {
    return this.#bucket(bucket).file(name);
  }

  async #doing<T>(step: Step, { bucket, name }: Place, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const meaning = error instanceof HeadwaterError ? undefined : meaningOfGcs(error, step, bucket);
      throw meaning ? storageError(step, `gs://${bucket}/${name}`, meaning, error) : error;
    }
  }
}

/** CRC32C in machine code, for the SDK. Its own is slower than an upload. */
class Crc32c implements CRC32CValidator {
  #value = 0;

  update(data: Buffer): void {
    this.#value = crc32c(data, this.#value);
  }

  validate(value: unknown): boolean {
    return String(value) === this.toString();
  }

  valueOf(): number {
    return this.#value;
  }

  /** Base64 of the value in network order. */
  toString(): string {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(this.#value);
    return bytes.toString('base64');
  }
}

function infoOf(key: string, size: string | number | undefined, updated: string | undefined): ObjectInfo {
  return { key, bytes: Number(size ?? 0), modifiedAt: Date.parse(updated ?? '') || 0 };
}
