import { backoff, sleep } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { downloadAll, prepareDirectory } from './download.ts';
import type { DownloadedFile } from './download.ts';
import { kickOffOf } from './export-request.ts';
import type { ExportRequest } from './export-request.ts';
import { ask, errorOf, retryAfterMs } from './http-client.ts';
import type { TokenSource } from './http-client.ts';
import { parseManifest } from './received-manifest.ts';
import type { ReceivedManifest } from './received-manifest.ts';

export type ExportProgress =
  | { readonly stage: 'accepted'; readonly statusUrl: string }
  | { readonly stage: 'running'; readonly percent: number; readonly text: string }
  | {
      readonly stage: 'downloading';
      readonly files: number;
      readonly filesDone: number;
      readonly bytes: number;
      /** undefined if the manifest has no sizes. */
      readonly bytesTotal: number | undefined;
    };

export interface ExportOptions {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Pause between two requests, in ms, instead of the one that the server asks for. */
  readonly pollMs?: number;
  readonly onProgress?: (progress: ExportProgress) => void;
  readonly token?: TokenSource | undefined;
}

export interface ExportResult {
  readonly statusUrl: string;
  readonly manifest: ReceivedManifest;
  readonly files: readonly DownloadedFile[];
}

const FIRST_POLL_MS = 200;
const DEFAULT_POLL_MS = 2_000;
const MAX_POLL_MS = 60_000;
/** Number of attempts without an answer before it gives up, so that a server has time to restart. */
const ATTEMPTS_WITHOUT_ANSWER = 8;

/**
 * A whole export: kick-off, waiting, and, with a directory, the files in it, verified. When it is given up before the
 * manifest is there, the job is cancelled on the server.
 */
export async function runExport(
  request: ExportRequest,
  directory: string | undefined,
  options: ExportOptions & { readonly parallel?: number },
): Promise<ExportResult> {
  if (directory !== undefined) await prepareDirectory(directory);
  const statusUrl = await kickOff(request, options.signal, options.token);
  options.onProgress?.({ stage: 'accepted', statusUrl });
  const manifest = await waitForManifest(statusUrl, options).catch(async (error: unknown) => {
    if (options.signal.aborted) await cancelExport(statusUrl, options.token).catch(() => undefined);
    throw error;
  });
  const files = directory === undefined ? [] : await downloadFiles(manifest, directory, options);
  return { statusUrl, manifest, files };
}

/** Returns the status URL. If the server refuses, throws an error with its words. */
export async function kickOff(
  request: ExportRequest,
  signal: AbortSignal,
  token?: TokenSource,
): Promise<string> {
  const { url, init } = kickOffOf(request);
  const response = await ask(url.href, { ...init, signal }, token);
  if (response.status !== 202) throw await errorOf(response);
  await response.body?.cancel();
  const location = response.headers.get('content-location');
  if (location === null)
    throw new HeadwaterError(
      'corrupt',
      `${request.server} accepted the export but named no Content-Location`,
    );
  return new URL(location, url).href;
}

/** Asks until the export is complete. If it failed or no longer exists, throws an error with the words of the server. */
export async function waitForManifest(statusUrl: string, options: ExportOptions): Promise<ReceivedManifest> {
  let silent = 0;
  await sleep(options.pollMs ?? FIRST_POLL_MS, options.signal);
  for (;;) {
    const init = { headers: { accept: 'application/json' }, signal: options.signal };
    const response = await ask(statusUrl, init, options.token).catch(async (error: unknown) => {
      if (options.signal.aborted || ++silent >= ATTEMPTS_WITHOUT_ANSWER) throw error;
      await sleep(backoff(silent, Math.random), options.signal);
      return undefined;
    });
    if (!response) continue;
    silent = 0;
    if (response.status === 200) return parseManifest(await response.json());
    if (response.status !== 202 && response.status !== 429 && response.status !== 503)
      throw await errorOf(response);
    if (response.status === 202) report(response, options);
    await response.body?.cancel();
    const wait = retryAfterMs(response, options.clock()) ?? DEFAULT_POLL_MS;
    await sleep(options.pollMs ?? Math.min(wait, MAX_POLL_MS), options.signal);
  }
}

/** Cancels a running export, or lets the server remove the files of a complete one. */
export async function cancelExport(statusUrl: string, token?: TokenSource): Promise<void> {
  const init = { method: 'DELETE', signal: AbortSignal.timeout(5_000) };
  const response = await ask(statusUrl, init, token);
  if (response.status !== 202) throw await errorOf(response);
  await response.body?.cancel();
}

/** The files of a manifest into an empty directory, `parallel` (5) at a time, verified; then `manifest.json`. */
export async function downloadFiles(
  manifest: ReceivedManifest,
  directory: string,
  options: ExportOptions & { readonly parallel?: number },
): Promise<readonly DownloadedFile[]> {
  const all = [...manifest.output, ...manifest.deleted, ...manifest.error];
  const sizes = all.map((file) => file.extension?.bytes);
  const bytesTotal = sizes.reduce(
    (sum: number | undefined, size) => (sum === undefined || size === undefined ? undefined : sum + size),
    0,
  );
  let bytes = 0;
  let filesDone = 0;
  const tell = (): void => {
    options.onProgress?.({ stage: 'downloading', files: all.length, filesDone, bytes, bytesTotal });
  };
  tell();
  return downloadAll(manifest, {
    directory,
    parallel: options.parallel ?? 5,
    signal: options.signal,
    // A token is not for a URL that is enough by itself, which may be of another server.
    token: manifest.requiresAccessToken ? options.token : undefined,
    onBytes: (more) => {
      bytes += more;
      tell();
    },
    onFile: () => {
      filesDone++;
      tell();
    },
  });
}

function report(response: Response, { onProgress }: ExportOptions): void {
  const text = response.headers.get('x-progress') ?? '';
  const percent = Number.parseFloat(text);
  onProgress?.({ stage: 'running', percent: Number.isNaN(percent) ? 0 : percent, text });
}
