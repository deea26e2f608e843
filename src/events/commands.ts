import type { Cut } from '../base/positions.ts';
import type { ExportParameters } from './request.ts';

/**
 * Commands travel through the source's write-ahead log as a transactional message (prefix `headwater`, JSON), become
 * ordered with every change by that, and are written by capture to `headwater.commands`.
 */
export interface ExportRequested {
  readonly kind: 'ExportRequested';
  readonly jobId: string;
  readonly clientId: string;
  /** ms since 1970, by the clock of the database. */
  readonly acceptedAt: number;
  /** The full kick-off URL. */
  readonly requestUrl: string;
  readonly parameters: ExportParameters;
}

export interface ExportCancelRequested {
  readonly kind: 'ExportCancelRequested';
  readonly jobId: string;
  /** ms since 1970, by the clock of the database. */
  readonly cancelledAt: number;
}

/** What the gateway puts into the write-ahead log. */
export type RequestMessage = ExportRequested | ExportCancelRequested;

/** What `headwater.commands` holds: a request with the cut capture gave it. */
export type Command = (ExportRequested & { readonly cut: Cut }) | ExportCancelRequested;
