import { STATUS_CODES } from 'node:http';
import type { Context } from 'koa';
import { done } from '../audit/entries.ts';
import { HeadwaterError } from '../base/errors.ts';
import { clientMessage } from '../base/public-message.ts';
import { operationOutcome } from '../fhir/operation-outcome.ts';
import type { JobView } from '../jobs/job.ts';
import { listedFiles, manifestOf } from '../manifest/manifest.ts';
import { sendOutcome } from './answer.ts';
import { checkJob, clientOf } from './client.ts';
import type { Client } from './client.ts';
import { signFileUrls } from './file-url.ts';
import type { GatewayContext } from './gateway-context.ts';
import { bad, quoted } from '../base/bad-request.ts';

const JOB_ID = /^[A-Za-z0-9-]{1,64}$/;

/**
 * `GET [base]/$export-status/[job]`, and `?page=n` for the pages of a manifest.
 *
 * | job                                   | answer                                                            |
 * | 1 unknown, cancelled, expired         | 404                                                               |
 * | 2 accepted or running                 | 202, X-Progress, Retry-After; the manifest so far, if it is wanted |
 * | 3 completed                           | 200, the manifest with fresh URLs, Expires                        |
 * | 4 failed                              | the status of the failure, why                                    |
 *
 * A client that asked for a status of its own (`separate-export-status`) gets 200 for 2 to 4, and theirs in X-Export-Status.
 */
export async function exportStatus(ctx: Context, gateway: GatewayContext, jobId: string): Promise<void> {
  const client = await clientOf(ctx, gateway.access);
  const job = JOB_ID.test(jobId) ? await gateway.jobs.find(jobId, client.id) : undefined;
  const now = gateway.clock();
  ctx.set('Cache-Control', 'no-store');
  if (!job || job.cancelRequested || job.state === 'cancelled' || job.state === 'expired')
    throw noSuchJob(jobId); // 1
  checkJob(client, job);
  if (job.state === 'failed')
    sendFailure(ctx, job); // 4
  else if (job.state === 'completed')
    await sendManifest(ctx, gateway, job, client); // 3
  else await sendProgress(ctx, gateway, job, now); // 2
  if (!job.parameters.separateStatus) return;
  ctx.set('X-Export-Status', `${ctx.status} ${STATUS_CODES[ctx.status] ?? ''}`.trim());
  ctx.status = 200;
}

/** `DELETE [base]/$export-status/[job]`: 202. From then on, its client gets 404. */
export async function cancelExport(
  ctx: Context,
  { jobs, access }: GatewayContext,
  jobId: string,
): Promise<void> {
  const client = await clientOf(ctx, access);
  if (!JOB_ID.test(jobId) || !(await jobs.cancel(jobId, client.id, client.agent))) throw noSuchJob(jobId);
  sendOutcome(
    ctx,
    202,
    operationOutcome('information', 'informational', 'The export and its files are being removed.'),
  );
}

async function sendProgress(ctx: Context, gateway: GatewayContext, job: JobView, now: number): Promise<void> {
  const manifest = await writeManifest(ctx, gateway, job, now);
  ctx.status = 202;
  ctx.set('X-Progress', progressOf(job));
  ctx.set('Retry-After', String(retryAfter(now - job.acceptedAt)));
  if (manifest) return;
  ctx.body = Buffer.alloc(0);
  ctx.remove('Content-Type');
}

async function sendManifest(
  ctx: Context,
  gateway: GatewayContext,
  job: JobView,
  { agent }: Client,
): Promise<void> {
  if (!(await writeManifest(ctx, gateway, job, gateway.clock())))
    throw new HeadwaterError('not-found', 'there is no such page of this manifest', { subject: job.jobId });
  await gateway.audit.record(done('manifest.read', { agent, jobId: job.jobId }));
  ctx.status = 200;
}

/** Returns false if there is no manifest now. */
async function writeManifest(
  ctx: Context,
  { settings, store }: GatewayContext,
  job: JobView,
  now: number,
): Promise<boolean> {
  const { page } = ctx.query;
  if (page !== undefined && !/^[1-9]\d{0,8}$/.test(String(page)))
    throw bad('page', `page: ${quoted(String(page))} is not a number from 1`);
  const number = page === undefined ? undefined : Number(page);
  // A URL must not outlive the files.
  const wanted = Math.min(
    now + settings.urlTtlMs,
    (job.endedAt ?? now) + (job.retentionMs ?? settings.retentionMs),
  );
  const keys = listedFiles(job, number)?.map(({ key }) => key);
  const signed = await signFileUrls(keys ?? [], { store, settings, expiresAt: wanted });
  const urls = {
    file: (key: string) => signed.urls.get(key) ?? '',
    page: (n: number) => `${settings.publicUrl}${ctx.path}?page=${n}`,
  };
  const manifest = manifestOf(job, urls, { page: number, requiresAccessToken: settings.fileTokens });
  if (!manifest) return false;
  ctx.set('Expires', new Date(signed.expiresAt).toUTCString());
  ctx.set('Content-Type', 'application/json; charset=utf-8');
  ctx.body = JSON.stringify(manifest);
  return true;
}

function sendFailure(ctx: Context, { jobId, failure }: JobView): void {
  const { code, message } = failure ?? { code: 'internal', message: '' };
  if (code === 'not-found') sendOutcome(ctx, 404, operationOutcome('error', 'not-found', message));
  else if (code === 'forbidden') sendOutcome(ctx, 403, operationOutcome('error', 'forbidden', message));
  else if (code === 'bad-request') sendOutcome(ctx, 400, operationOutcome('error', 'invalid', message));
  else {
    const why = `The export ${jobId} failed (${code}): ${clientMessage(code, message)}`;
    sendOutcome(ctx, 500, operationOutcome('error', 'exception', why));
  }
}

/** Begins with a number, because clients parse it. 100 % is reserved for the manifest. */
function progressOf(job: JobView): string {
  if (job.state === 'accepted') return '0% waiting until the log reaches this request';
  return `${String(Math.min(99, Math.max(0, Math.floor(job.progress * 100))))}% replayed`;
}

/** Whole seconds: a tenth of the time since the kick-off. So a client learns of the end at most a tenth of that time late. */
function retryAfter(waitedMs: number): number {
  return Math.min(60, Math.max(1, Math.ceil(waitedMs / 10_000)));
}

function noSuchJob(jobId: string): HeadwaterError {
  return new HeadwaterError(
    'not-found',
    'there is no such export: it never was, was cancelled, or has expired',
    { subject: jobId },
  );
}
