import { formatInstant } from '../fhir/instant.ts';
import { HeadwaterError } from '../base/errors.ts';
import type { ExportFile, FileKind } from '../events/status.ts';
import type { JobView } from '../jobs/job.ts';

export interface ManifestFile {
  /** Resource type of every line; absent in output that is organized by a type. */
  readonly type?: string;
  /** Absolute. */
  readonly url: string;
  /** Number of resources: the lines without headers. */
  readonly count: number;
  /** Size and SHA-256 (hex) of the file as it is stored. */
  readonly extension: { readonly bytes: number; readonly sha256: string };
}

/** The answer to a finished export (Bulk Data Access 2.0.0 and 3.0.0, "Response - Complete Status"). */
export interface Manifest {
  readonly transactionTime: string;
  readonly request: string;
  readonly requiresAccessToken: boolean;
  readonly outputOrganizedBy?: string;
  readonly output: readonly ManifestFile[];
  /** Present only with `_since`: without it, a client has nothing to remove. */
  readonly deleted?: readonly ManifestFile[];
  readonly error: readonly ManifestFile[];
  readonly link?: readonly { readonly relation: 'next'; readonly url: string }[];
  readonly extension?: {
    /** The filters of the request that the server applied. */
    readonly typeFilters?: readonly string[];
    /** The log's epoch. An increment completes only an export of the same epoch. */
    readonly epoch?: string;
    /** `deidentified`: name of the configuration that de-identified the resources. */
    readonly access?: { readonly deidentified: string };
  };
}

/** The URLs of files and further pages. */
export interface ManifestUrls {
  /** @param key in the object store */
  file(key: string): string;
  page(number: number): string;
}

/** A page ends with the task that brings it to this number of files. */
const PAGE_FILES = 20;

/**
 * The manifest of a job, or one page of it. A client that allowed partial manifests gets pages, the first ones while the job
 * is running: the files of tasks in the order of their completion, so that a page never changes once it is there. Any
 * other client gets one manifest of a completed job.
 * @param options.page from 1; undefined = the first, or all
 * @param options.requiresAccessToken whether a file is given only to the holder of an access token
 * @returns undefined when there is no such page, or not yet
 */
export function manifestOf(
  job: JobView,
  urls: ManifestUrls,
  {
    page,
    requiresAccessToken = false,
  }: { readonly page?: number | undefined; readonly requiresAccessToken?: boolean } = {},
): Manifest | undefined {
  if (job.transactionTime === undefined) return undefined;
  const pages = allPages(job);
  const number = page ?? 1;
  const listed = pages[number - 1];
  if (listed === undefined) return undefined;
  const { since, organizeBy } = job.parameters;
  const files = (kind: FileKind): ManifestFile[] =>
    listed
      .filter((file) => file.kind === kind)
      .map((file) => manifestFile(file, urls.file(file.key), organizeBy));
  return {
    transactionTime: formatInstant(job.transactionTime),
    request: job.requestUrl,
    requiresAccessToken,
    ...(organizeBy !== undefined && { outputOrganizedBy: organizeBy }),
    output: files('output'),
    ...(since !== undefined && { deleted: files('deleted') }),
    error: files('error'),
    ...(number < pages.length && { link: [{ relation: 'next', url: urls.page(number + 1) }] }),
    ...extensionOf(job),
  };
}

/** The files that `manifestOf` lists. undefined when there is no such page, or not yet. */
export function listedFiles(job: JobView, page = 1): readonly ExportFile[] | undefined {
  return job.transactionTime === undefined ? undefined : allPages(job)[page - 1];
}

function allPages(job: JobView): readonly (readonly ExportFile[])[] {
  if (job.parameters.partialManifests) return pagesOf(job);
  return job.state === 'completed' ? [job.files] : [];
}

function extensionOf({ epoch = '', parameters }: JobView): Pick<Manifest, 'extension'> {
  const { typeFilters, deidentify } = parameters;
  const extension = {
    ...(typeFilters.length > 0 && { typeFilters }),
    ...(epoch !== '' && { epoch }),
    ...(deidentify !== undefined && { access: { deidentified: deidentify } }),
  };
  return Object.keys(extension).length === 0 ? {} : { extension };
}

/** The manifest of a completed job, on one page. */
export function wholeManifestOf(job: JobView, file: ManifestUrls['file']): Manifest {
  const whole = { ...job, parameters: { ...job.parameters, partialManifests: false } };
  const manifest = manifestOf(whole, { file, page: () => '' });
  if (manifest) return manifest;
  throw new HeadwaterError('internal', `job ${job.jobId} is ${job.state} and has no manifest`);
}

/** Returns the complete pages. A completed job has at least one page, which may be empty. */
function pagesOf({ filesByTask, state }: JobView): (readonly ExportFile[])[] {
  const pages: ExportFile[][] = [];
  let open: ExportFile[] = [];
  for (const files of filesByTask) {
    open.push(...files);
    if (open.length < PAGE_FILES) continue;
    pages.push(open);
    open = [];
  }
  if (state === 'completed' && (open.length > 0 || pages.length === 0)) pages.push(open);
  return pages;
}

function manifestFile(file: ExportFile, url: string, organizeBy: string | undefined): ManifestFile {
  const { kind, type, count, bytes, sha256 } = file;
  const typed = kind !== 'output' || organizeBy === undefined;
  return { ...(typed && { type }), url, count, extension: { bytes, sha256 } };
}
