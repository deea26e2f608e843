import type { Context } from 'koa';
import { createHash } from 'node:crypto';
import { basename } from 'node:path/posix';
import { pipeline } from 'node:stream';
import type { Readable } from 'node:stream';
import { constants, createGzip } from 'node:zlib';
import parseRange from 'range-parser';
import { done } from '../audit/entries.ts';
import { HeadwaterError } from '../base/errors.ts';
import { contentTypeOf } from '../events/file-type.ts';
import { jobOfKey } from '../jobs/due.ts';
import type { ByteRange, ObjectInfo } from '../storage/object-store.ts';
import { agentOf, checkJob, clientOf } from './client.ts';
import { checkFileUrl } from './file-url.ts';
import type { GatewayContext } from './gateway-context.ts';

/**
 * `GET|HEAD [base]/$export-file/[folder]/[name]?expires&signature`: a file as it is stored, a range of it, or compressed on
 * the way. Streams with back-pressure; a client that goes away ends the read. A failure in the middle cuts the
 * connection, so that a short file never looks whole.
 */
export async function exportFile(ctx: Context, gateway: GatewayContext, key: string): Promise<void> {
  const { settings, jobs, store, clock } = gateway;
  const job = jobOfKey(key);
  if (settings.fileTokens) await checkOwner(ctx, gateway, key);
  else checkFileUrl(settings.urlSecret, key, new URLSearchParams(ctx.querystring), clock());
  // The files of a cancelled export are removed a moment after the answer to the cancel.
  if (job && !(await jobs.hasFiles(job.jobId)))
    throw new HeadwaterError('not-found', 'this file has been removed', { subject: key });
  const info = await store.head(key);
  if (!info) throw new HeadwaterError('not-found', 'this file has been removed', { subject: key });
  const stored = key.endsWith('.gz');
  ctx.set('Content-Type', contentTypeOf(key));
  ctx.set('Accept-Ranges', 'bytes');
  ctx.set('Cache-Control', 'private, no-store');
  ctx.set('X-Content-Type-Options', 'nosniff');
  ctx.set('Content-Disposition', `attachment; filename="${basename(key)}"`);
  ctx.set('Last-Modified', new Date(info.modifiedAt).toUTCString());
  if (!stored) ctx.vary('Accept-Encoding');
  const etag = etagOf(info);
  const range = rangeOf(ctx, info, etag);
  const gzip = !stored && !range && ctx.acceptsEncodings('gzip', 'identity') === 'gzip';
  // Each form has a tag of its own (RFC 9110, 8.8.3.3).
  const ownTag = gzip ? etag.replace(/"$/, '-gzip"') : etag;
  ctx.set('ETag', ownTag);
  if (isKnown(ctx, ownTag, info.modifiedAt)) {
    ctx.status = 304;
    return;
  }
  if (range === 'unsatisfiable') {
    ctx.set('Content-Range', `bytes */${String(info.bytes)}`);
    throw Object.assign(
      new Error(`Range: "${ctx.get('Range')}" is outside of the ${String(info.bytes)} bytes`),
      { status: 416 },
    );
  }
  // Opened before the headers about the bytes are set: if it fails, the answer is an OperationOutcome.
  const source = ctx.method === 'HEAD' ? undefined : await store.read(key, range);
  if (source) await recordDownload(ctx, gateway, { key, range, source });
  ctx.status = range ? 206 : 200;
  if (range)
    ctx.set('Content-Range', `bytes ${String(range.start)}-${String(range.end - 1)}/${String(info.bytes)}`);
  if (gzip) ctx.set('Content-Encoding', 'gzip');
  else ctx.length = range ? range.end - range.start : info.bytes;
  if (!source) return;
  // Level 1: on this data it packs nearly as well as 6, in two thirds of the time.
  ctx.body = gzip ? pipeline(source, createGzip({ level: constants.Z_BEST_SPEED }), () => undefined) : source;
}

/** No byte is sent before the audit log has the download. The holder of a signed URL is known by its address only. */
async function recordDownload(
  ctx: Context,
  { audit }: GatewayContext,
  {
    key,
    range,
    source,
  }: { readonly key: string; readonly range: ByteRange | undefined; readonly source: Readable },
): Promise<void> {
  const bytes = range && `${String(range.start)}-${String(range.end - 1)}`;
  const details: [string, string][] = [
    ['file', key],
    ...(bytes === undefined ? [] : ([['bytes', bytes]] as [string, string][])),
  ];
  try {
    await audit.record(
      done('file.downloaded', { agent: agentOf(ctx), jobId: jobOfKey(key)?.jobId, details }),
    );
  } catch (error) {
    source.destroy();
    throw error;
  }
}

/** Throws unless the file is of a job of the client, whose rights still cover it. */
async function checkOwner(ctx: Context, { access, jobs }: GatewayContext, key: string): Promise<void> {
  const client = await clientOf(ctx, access);
  const jobId = jobOfKey(key)?.jobId;
  const job = jobId === undefined ? undefined : await jobs.find(jobId, client.id);
  const file = job?.files.find((one) => one.key === key);
  if (!job || !file || job.cancelRequested)
    throw new HeadwaterError('not-found', 'there is no such file; take its URL as it is in the manifest');
  checkJob(client, job, file.type);
}

/** Returns true if the client has this version (RFC 9110, 13.2.2). Koa's own check returns false for every request with no-cache, which fetch adds to conditional requests. */
function isKnown(ctx: Context, etag: string, modifiedAt: number): boolean {
  const tags = ctx.get('If-None-Match');
  if (tags !== '') return tags.split(',').some((tag) => ['*', etag].includes(tag.trim().replace(/^W\//, '')));
  return Date.parse(ctx.get('If-Modified-Since')) >= Math.floor(modifiedAt / 1000) * 1000;
}

/** Returns the entity tag of a file. A file never changes, so its name and length identify it. */
function etagOf({ key, bytes }: ObjectInfo): string {
  return `"${createHash('sha256').update(`${key} ${bytes}`).digest('base64url').slice(0, 22)}"`;
}

/**
 * Returns the one range that a GET asks for. A request for several ranges (RFC 9110, 14.2), or for a range of another version (`If-Range`,
 * 13.1.5), gets the whole file.
 */
function rangeOf(
  ctx: Context,
  { bytes, modifiedAt }: ObjectInfo,
  etag: string,
): ByteRange | 'unsatisfiable' | undefined {
  const header = ctx.get('Range');
  const same = ['', etag, new Date(modifiedAt).toUTCString()].includes(ctx.get('If-Range'));
  if (ctx.method !== 'GET' || header === '' || !same) return undefined;
  const ranges = parseRange(bytes, header);
  if (ranges === -1) return 'unsatisfiable';
  const [only] = ranges === -2 || ranges.type !== 'bytes' || ranges.length > 1 ? [] : ranges;
  return only && { start: only.start, end: only.end + 1 };
}
