import { formatInstant } from '../fhir/instant.ts';
import { HeadwaterError } from '../base/errors.ts';
import type { ExportFile, FileKind } from '../events/status.ts';
import type { JobView } from '../jobs/job.ts';

export interface ManifestFile {
  /** Resource type of every line. */
  readonly type: string;
  /** Absolute. */
  readonly url: string;
  /** Lines. */
  readonly count: number;
  /** Size and SHA-256 (hex) of the file as it is stored. */
  readonly extension: { readonly bytes: number; readonly sha256: string };
}

/** The answer to a finished export (Bulk Data Access 2.0.0 and 3.0.0, "Response - Complete Status"). */
export interface Manifest {
  readonly transactionTime: string;
  readonly request: string;
  readonly requiresAccessToken: boolean;
  readonly output: readonly ManifestFile[];
  /** Only with `_since`: without it there is nothing that a client could have to remove. */
  readonly deleted?: readonly ManifestFile[];
  readonly error: readonly ManifestFile[];
}

/**
 * The manifest of a completed job.
 * @param fileUrl gives the URL a client downloads a file from, by its key in the object store
 */
export function manifestOf(job: JobView, fileUrl: (key: string) => string): Manifest {
  if (job.state !== 'completed' || job.transactionTime === undefined) {
    throw new HeadwaterError('internal', `job ${job.jobId} is ${job.state} and has no manifest`);
  }
  const files = (kind: FileKind): ManifestFile[] =>
    job.files.filter((file) => file.kind === kind).map((file) => manifestFile(file, fileUrl(file.key)));
  return {
    transactionTime: formatInstant(job.transactionTime),
    request: job.requestUrl,
    requiresAccessToken: false,
    output: files('output'),
    ...(job.parameters.since !== undefined && { deleted: files('deleted') }),
    error: files('error'),
  };
}

function manifestFile(file: ExportFile, url: string): ManifestFile {
  return { type: file.type, url, count: file.count, extension: { bytes: file.bytes, sha256: file.sha256 } };
}
