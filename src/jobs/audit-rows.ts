import type { AuditAgent, AuditEntry, AuditHead } from '../events/audit.ts';
import type { ExportEvent } from '../events/export-event.ts';
import type { Grant } from '../events/grant.ts';
import type { ExportParameters } from '../events/request.ts';
import type { ExportFile } from '../events/status.ts';
import { exportEntry } from '../audit/entries.ts';
import type { TimedEntry } from '../audit/chain.ts';
import { literal } from './commit-at-once.ts';
import { parametersOf } from './job-rows.ts';
import type { Queryable } from './job-rows.ts';
import { DATABASE_CLOCK } from './movement.ts';
import type { JobTables } from './schema.ts';

/** Rows that are in the log stay for so long (ms), so that a repetition of what happened is known by its id. */
const KEPT = 86_400_000;
/** Rows that one transaction takes, of the database and of Kafka: after an outage there may be very many. */
const BATCH = 500;

/** SQL that inserts entries once. Their time is that of the database, whose clock all processes share. */
export function insertEntries(t: JobTables, entries: readonly AuditEntry[]): string {
  return `INSERT INTO ${t.audit} (id, at, entry)
    SELECT e->>'id', ${DATABASE_CLOCK}, e FROM jsonb_array_elements(${jsonLiteral(entries)}) e ON CONFLICT DO NOTHING`;
}

/** The value as an SQL literal of jsonb, which accepts neither NUL nor half a surrogate pair. */
export function jsonLiteral(value: unknown): string {
  const text = JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'string' ? inner.replaceAll('\0', '').toWellFormed() : inner,
  );
  return `${literal(text)}::jsonb`;
}

/**
 * Returns the oldest rows that are not in the log yet, with their numbers. Rows get numbers in the order of their time, after all numbers
 * that were given before, and only the leader gives them: so the last number in the log tells which rows are there.
 */
export async function nextEntries(
  client: Queryable,
  t: JobTables,
  { row }: AuditHead,
): Promise<readonly (TimedEntry & { readonly n: number })[]> {
  await client.query(
    `UPDATE ${t.audit} a SET n = given.n FROM (
       SELECT id, greatest($1::bigint, (SELECT coalesce(max(n), 0) FROM ${t.audit})) + row_number() OVER (ORDER BY at, id) AS n
       FROM (SELECT id, at FROM ${t.audit} WHERE n IS NULL ORDER BY at, id LIMIT ${String(BATCH)}) oldest
     ) given WHERE a.id = given.id`,
    [row],
  );
  const { rows } = await client.query<{ n: string; at: string; entry: AuditEntry }>(
    `SELECT n, at, entry FROM ${t.audit} WHERE n > $1 ORDER BY n LIMIT ${String(BATCH)}`,
    [row],
  );
  return rows.map(({ n, at, entry }) => ({ n: Number(n), at: Number(at), entry }));
}

/** Deletes rows that have been in the log for a day. */
export async function dropEntries(client: Queryable, t: JobTables, { row }: AuditHead): Promise<void> {
  await client.query(`DELETE FROM ${t.audit} WHERE n <= $1 AND at < ${DATABASE_CLOCK} - ${String(KEPT)}`, [
    row,
  ]);
}

interface RequestRow {
  readonly id: string;
  readonly agent: AuditAgent | null;
  readonly grant: Grant | null;
  readonly parameters: ExportParameters;
  readonly files: readonly ExportFile[] | null;
}

/** Returns what announced events are to an auditor. Their requests and files are in the tables as long as their announcements are. */
export async function entriesOf(
  client: Queryable,
  t: JobTables,
  events: readonly ExportEvent[],
): Promise<TimedEntry[]> {
  const told = events.filter(({ kind }) => kind === 'accepted' || kind === 'completed' || kind === 'failed');
  if (told.length === 0) return [];
  const { rows } = await client.query<RequestRow>(
    `SELECT job_id AS id, asked_by AS agent, "grant", parameters,
       (SELECT jsonb_agg(to_jsonb(f) - 'job_id' - 'task_id' - 'n' ORDER BY type, task_id, n) FROM ${t.file} f WHERE f.job_id = r.job_id) AS files
     FROM ${t.request} r WHERE job_id = ANY ($1)`,
    [[...new Set(told.map(({ jobId }) => jobId))]],
  );
  const requests = new Map(rows.map((row) => [row.id, row]));
  return told.flatMap((event) => {
    const row = requests.get(event.jobId);
    const facts = row && {
      agent: row.agent ?? { client: event.clientId },
      grant: row.grant ?? undefined,
      parameters: parametersOf(row.parameters),
    };
    const entry = exportEntry(event, facts, row?.files ?? []);
    return entry ? [{ at: event.at, entry }] : [];
  });
}
