import pg from 'pg';
import type { Command, RequestMessage } from '../events/commands.ts';
import type { ExportParameters } from '../events/request.ts';

/** The export requests in the source database, and the topic of the commands that they become. */
export interface Requests {
  /** Schema of the request table. */
  readonly schema: string;
  readonly messagePrefix: string;
  /** Parses a message of the write-ahead log. Throws when it is not a request. */
  readonly parse: (content: Buffer) => RequestMessage;
  readonly topic: string;
  readonly encode: (command: Command) => Buffer;
  /** The longest that an export may take. An older request has ended. */
  readonly maxExportMs: number;
}

interface RequestRow {
  readonly job_id: string;
  readonly client_id: string;
  readonly request_url: string;
  readonly parameters: ExportParameters;
  readonly accepted_at: string;
  readonly cancelled_at: string | null;
}

/**
 * Returns the requests that a new slot cannot show, because their messages were written before it. They are read as rows under the
 * slot's snapshot, so each request is either here or in the stream. Left out are requests whose command is in the log already
 * (`known`), and those made before `since` (ms since 1970): their exports have ended, and Kafka may have deleted their commands.
 */
export async function requestsBefore(
  client: pg.Client,
  schema: string,
  { known, since }: { readonly known: ReadonlySet<string>; readonly since: number },
): Promise<RequestMessage[]> {
  const table = `${pg.escapeIdentifier(schema)}.export_request`;
  const { rows: exists } = await client.query<{ found: string | null }>(
    'SELECT to_regclass($1)::text AS found',
    [table],
  );
  if (!exists[0]?.found) return [];
  const { rows } = await client.query<RequestRow>(
    `SELECT job_id, client_id, request_url, parameters, accepted_at, cancelled_at FROM ${table}
     WHERE accepted_at >= $1 OR cancelled_at >= $1 ORDER BY accepted_at, job_id`,
    [since],
  );
  return rows.flatMap((row): RequestMessage[] => {
    const jobId = row.job_id;
    const messages: RequestMessage[] = [];
    if (!known.has(jobId) && Number(row.accepted_at) >= since) {
      messages.push({
        kind: 'ExportRequested',
        jobId,
        clientId: row.client_id,
        acceptedAt: Number(row.accepted_at),
        requestUrl: row.request_url,
        parameters: row.parameters,
      });
    }
    if (row.cancelled_at !== null)
      messages.push({ kind: 'ExportCancelRequested', jobId, cancelledAt: Number(row.cancelled_at) });
    return messages;
  });
}
