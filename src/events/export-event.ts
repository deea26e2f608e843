import type { ExportFile } from './status.ts';

export type ExportEventKind =
  'accepted' | 'started' | 'file-ready' | 'completed' | 'failed' | 'cancelled' | 'expired';

/** An event of `headwater.exports` for subscribers; key = job id; each event exactly once. */
export interface ExportEvent {
  readonly jobId: string;
  readonly clientId: string;
  readonly requestUrl: string;
  readonly kind: ExportEventKind;
  /** ms since 1970. */
  readonly at: number;
  /** FHIR instant; undefined before the job is planned. */
  readonly transactionTime: string | undefined;
  /** The file of `file-ready`. */
  readonly file: ExportFile | undefined;
  /** The manifest of `completed`: JSON with keys of the object store in place of signed URLs, which are secrets. */
  readonly manifest: string | undefined;
  /** The failure of `failed`. */
  readonly failure: { readonly code: string; readonly message: string } | undefined;
}

/** Source and id of an event. The pair is unique, so a subscriber can recognise a repetition. */
export interface CloudEventIdentity {
  /** URI reference. */
  readonly source: string;
  readonly id: string;
}

/**
 * The attributes of CloudEvents 1.0 as headers of a Kafka record in binary content mode
 * (https://github.com/cloudevents/spec, Kafka protocol binding, 3.2).
 */
export function cloudEventHeaders(
  event: ExportEvent,
  { source, id }: CloudEventIdentity,
): Record<string, string> {
  return {
    ce_specversion: '1.0',
    ce_id: id,
    ce_source: source,
    ce_type: `headwater.export.${event.kind}`,
    ce_time: new Date(event.at).toISOString(),
    ce_subject: event.jobId,
    'content-type': 'application/avro',
  };
}
