import pg from 'pg';
import type { AuditEntry } from '../events/audit.ts';
import type { Command, RequestMessage } from '../events/commands.ts';
import { requestMessageOf } from '../events/request-message.ts';
import type { RequestSeal } from '../events/request-seal.ts';
import type { LogReader } from '../log/log.ts';

/** The export requests in the source database, and the topic of the commands that they become. */
export interface Requests {
  /** Schema of the request table. */
  readonly schema: string;
  readonly messagePrefix: string;
  /** Only what it seals is a request. */
  readonly seal: RequestSeal;
  /** Gets the messages that are refused. */
  readonly audit: { record(entry: AuditEntry): Promise<void> };
  /** The reload under way, during which the log must keep the versions from before it. */
  readonly reloads: { began(): Promise<void>; ends(): Promise<void>; none(): Promise<void> };
  readonly topic: string;
  readonly encode: (command: Command) => Buffer;
  /** The longest that an export may take. An older request has ended. */
  readonly maxExportMs: number;
}

interface RequestRow {
  readonly job_id: string;
  readonly client_id: string;
  readonly request_url: string;
  readonly parameters: unknown;
  readonly grant: unknown;
  readonly seal: string | null;
  readonly accepted_at: string;
  readonly cancelled_at: string | null;
}

/**
 * Returns the requests that a new slot cannot show, because their messages were written before it. They are read as rows under the
 * slot's snapshot, so each request is either here or in the stream. Left out are requests whose command is in the log already
 * (`known`), and those made before `since` (ms since 1970): their exports have ended, and Kafka may have deleted their commands. A row
 * that no gateway of this installation has sealed is refused.
 */
export async function requestsBefore(
  client: pg.Client,
  { schema, seal }: Pick<Requests, 'schema' | 'seal'>,
  {
    known,
    since,
    refuse,
  }: {
    readonly known: ReadonlySet<string>;
    readonly since: number;
    readonly refuse: (jobId: string, error: unknown) => void;
  },
): Promise<RequestMessage[]> {
  const table = `${pg.escapeIdentifier(schema)}.export_request`;
  const { rows: exists } = await client.query<{ found: string | null }>(
    'SELECT to_regclass($1)::text AS found',
    [table],
  );
  if (!exists[0]?.found) return [];
  const { rows } = await client.query<RequestRow>(
    `SELECT job_id, client_id, request_url, parameters, "grant", seal, accepted_at, cancelled_at FROM ${table}
     WHERE accepted_at >= $1 OR cancelled_at >= $1 ORDER BY accepted_at, job_id`,
    [since],
  );
  return rows.flatMap((row): RequestMessage[] => {
    const jobId = row.job_id;
    const messages: RequestMessage[] = [];
    if (!known.has(jobId) && Number(row.accepted_at) >= since) {
      const message = {
        kind: 'ExportRequested',
        jobId,
        clientId: row.client_id,
        acceptedAt: Number(row.accepted_at),
        requestUrl: row.request_url,
        parameters: row.parameters,
        ...(row.grant !== null && { grant: row.grant }),
        seal: row.seal,
      };
      try {
        messages.push(requestMessageOf(message, seal));
      } catch (error) {
        refuse(jobId, error);
      }
    }
    if (row.cancelled_at !== null)
      messages.push({ kind: 'ExportCancelRequested', jobId, cancelledAt: Number(row.cancelled_at) });
    return messages;
  });
}

/** Returns the ids of the jobs whose commands the log holds. */
export async function commandKeys(
  reader: Pick<LogReader, 'ends' | 'offsetsAt' | 'read'>,
  topic: string,
  signal: AbortSignal,
): Promise<Set<string>> {
  const keys = new Set<string>();
  const starts = await reader.offsetsAt(topic, 0); // Kafka deletes old commands, so the log may begin after offset 0
  for (const [partition, to] of (await reader.ends(topic)).entries()) {
    const range = { topic, partition, from: starts[partition] ?? to, to };
    for await (const records of reader.read(range, signal))
      for (const { key } of records) keys.add(key.toString());
  }
  return keys;
}
