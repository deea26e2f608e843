import type { Cut } from '../base/positions.ts';
import type { Grant } from './grant.ts';
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
  /** The rights of its client when it asked; undefined in an open server. */
  readonly grant?: Grant | undefined;
}

export interface ExportCancelRequested {
  readonly kind: 'ExportCancelRequested';
  readonly jobId: string;
  /** ms since 1970, by the clock of the database. */
  readonly cancelledAt: number;
}

/** A message that the gateway puts into the write-ahead log. */
export type RequestMessage = ExportRequested | ExportCancelRequested;

/** A record of `headwater.commands`: a request with the cut that capture gave it. */
export type Command = (ExportRequested & { readonly cut: Cut }) | ExportCancelRequested;
