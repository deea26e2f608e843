import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { CompletedPart, S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { BlockSink } from './block-writer.ts';

/** S3 takes 10 000 parts of at least 5 MiB, hence 50 GB an object. Larger parts are little faster, and a worker has several objects open. */
export const PART_BYTES = 5 * 2 ** 20;

/**
 * One object on its way to S3. An object of less than a part goes in one request. The parts of others are sent from the blocks of the
 * writer, since lib-storage copies what it reads from a stream twice: an open object took 110 MB with it and takes 30 MB without.
 * Each request carries the SHA-256 of its bytes, which the store compares.
 */
export class S3Upload implements BlockSink {
  readonly #client: S3Client;
  readonly #object: { readonly Bucket: string; readonly Key: string };
  readonly #params: { readonly ContentType: string; readonly ChecksumAlgorithm: 'SHA256' };
  readonly #parts: CompletedPart[] = [];
  #bytes = 0;
  /** The id, when the first part is sent. */
  #multipart: Promise<string | undefined> | undefined;

  constructor(
    client: S3Client,
    object: { readonly Bucket: string; readonly Key: string },
    contentType: string,
  ) {
    this.#client = client;
    this.#object = object;
    this.#params = { ContentType: contentType, ChecksumAlgorithm: 'SHA256' };
  }

  /** Bytes given so far. */
  get bytes(): number {
    return this.#bytes;
  }

  async stage(n: number, block: Buffer): Promise<void> {
    this.#bytes += block.length;
    if (n === 0 && block.length < PART_BYTES) {
      await this.#whole(block);
      return;
    }
    const UploadId = await (this.#multipart ??= this.#begin());
    const part = {
      ...this.#object,
      UploadId,
      PartNumber: n + 1,
      Body: block,
      ChecksumAlgorithm: 'SHA256',
    } as const;
    const { ETag, ChecksumSHA256 } = await this.#client.send(new UploadPartCommand(part));
    this.#parts[n] = { PartNumber: n + 1, ETag, ChecksumSHA256 };
  }

  async commit(count: number): Promise<void> {
    if (count === 0) await this.#whole(Buffer.alloc(0));
    if (!this.#multipart) return;
    const MultipartUpload = { Parts: this.#parts };
    const UploadId = await this.#multipart;
    await this.#client.send(
      new CompleteMultipartUploadCommand({ ...this.#object, UploadId, MultipartUpload }),
    );
  }

  async discard(): Promise<void> {
    if (!this.#multipart) return;
    const UploadId = await this.#multipart;
    await this.#client.send(new AbortMultipartUploadCommand({ ...this.#object, UploadId }));
  }

  async #begin(): Promise<string | undefined> {
    const params = { ...this.#object, ...this.#params };
    return (await this.#client.send(new CreateMultipartUploadCommand(params))).UploadId;
  }

  async #whole(Body: Buffer): Promise<void> {
    await new Upload({ client: this.#client, params: { ...this.#object, ...this.#params, Body } }).done();
  }
}
