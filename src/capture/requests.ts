import pg from 'pg';
import type { RequestMessage } from '../events/commands.ts';
import type { ExportParameters } from '../events/request.ts';

interface RequestRow {
  readonly job_id: string;
  readonly client_id: string;
  readonly request_url: string;
  readonly parameters: ExportParameters;
  readonly accepted_at: string;
  readonly cancelled_at: string | null;
}

/**
 * The requests a new slot cannot show, because their messages were written before it: found as rows under the slot's
 * snapshot, so each request is either here or in the stream. Those whose command is in the log already (`known`) are left
 * out, and those made before `since` (ms since 1970): their exports have ended, and Kafka may have forgotten their commands.
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
