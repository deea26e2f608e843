import assert from 'node:assert/strict';
import { offset } from '../../src/base/positions.ts';
import type { ExportEvent } from '../../src/events/export-event.ts';
import { rebuild } from '../../src/jobs/rebuild.ts';
import type { StoredRecord } from '../../src/log/log.ts';
import { wholeManifestOf } from '../../src/manifest/manifest.ts';
import { PATIENCE_MS, until } from '../support/until.ts';
import type { Headwater } from './headwater.ts';
import type { Play } from './play.ts';

/** A type's records that a later record of the same key supersedes, each as "key @ offset". */
export async function supersededRecords({ log }: Headwater, type: string): Promise<ReadonlySet<string>> {
  const records = await recordsOf(log.reader, log.names.resource(type));
  const versions = Map.groupBy(records, ({ key }) => key.toString());
  return new Set(
    [...versions].flatMap(([key, of]) => of.slice(0, -1).map((record) => `${key} @ ${record.offset}`)),
  );
}

/** Every event of `headwater.exports` by job. Waits until each ended job has its last event. */
export async function announcements(
  { log }: Headwater,
  ended: ReadonlySet<string>,
): Promise<ReadonlyMap<string, readonly ExportEvent[]>> {
  const { control } = await log.codecs();
  return until('the last event of every ended job', async () => {
    const records = await recordsOf(log.reader, log.names.exports);
    const byJob = Map.groupBy(records, ({ key }) => key.toString());
    const events = new Map(
      [...byJob].map(([jobId, of]) => [jobId, of.map(({ value }) => control.exportEvent.decode(value))]),
    );
    const hasEnd = (jobId: string): boolean =>
      ['completed', 'cancelled'].includes(events.get(jobId)?.at(-1)?.kind ?? '');
    return [...ended].every(hasEnd) ? events : undefined;
  });
}

/** Subscribers got the events of every ended export, each once. */
export async function assertAllAnnounced(
  headwater: Headwater,
  { completed, cancelled }: Pick<Play, 'completed' | 'cancelled'>,
): Promise<void> {
  const ended = new Set([...completed, ...cancelled]);
  const events = await announcements(headwater, ended);
  assert.deepEqual([...events.keys()].sort(), [...ended].sort());
  for (const jobId of completed) assertAnnouncedOnce(events.get(jobId) ?? []);
  for (const jobId of cancelled) assertCancelledOnce(events.get(jobId) ?? []);
}

export async function assertTablesEqualRebuild(headwater: Headwater): Promise<void> {
  const before = await jobTablesText(headwater);
  await rebuildTables(headwater);
  assert.equal(await jobTablesText(headwater), before);
}

/** Accepted, started, each file, completed: once each, in this order. */
function assertAnnouncedOnce(events: readonly ExportEvent[]): void {
  const last = events.at(-1);
  const manifest = JSON.parse(last?.manifest ?? '{}') as Record<
    'output' | 'deleted' | 'error',
    { url: string }[]
  >;
  const files = [...manifest.output, ...(manifest.deleted ?? []), ...manifest.error].map(({ url }) => url);
  const announced = events.filter(({ kind }) => kind === 'file-ready').map(({ file }) => file?.key ?? '');
  assert.deepEqual(announced.sort(), files.sort());
  const kinds = events.map(({ kind }) => kind);
  assert.deepEqual(kinds, ['accepted', 'started', ...files.map(() => 'file-ready'), 'completed']);
}

/** No event repeats, and the last one is the cancel. */
export function assertCancelledOnce(events: readonly ExportEvent[]): void {
  const announced = events.map(({ kind, file }) => `${kind} ${file?.key ?? ''}`);
  assert.equal(new Set(announced).size, announced.length, announced.join(', '));
  assert.equal(events.at(-1)?.kind, 'cancelled', announced.join(', '));
}

/** The projection as text, after the projector has folded the whole log. */
export async function jobTablesText({ pool, log, tables }: Headwater): Promise<string> {
  return until('the projector to fold and announce the whole log', async () => {
    const { rows } = await pool.query<{ partition: number; next: string }>(
      `SELECT partition, next FROM ${tables.offset}`,
    );
    const from = new Map(rows.map(({ partition, next }) => [partition, Number(next)]));
    const unfolded = await recordsOf(log.reader, log.names.status, from);
    const { rowCount: unannounced } = await pool.query(`SELECT FROM ${tables.announcement}`);
    if (unfolded.length > 0 || unannounced !== 0) return undefined;
    const dumps = [tables.job, tables.task, tables.file, tables.offset].map(async (table) => {
      const dump = await pool.query<{ line: string }>(`SELECT t::text AS line FROM ${table} t ORDER BY 1`);
      return dump.rows.map(({ line }) => `${table} ${line}`).join('\n');
    });
    return (await Promise.all(dumps)).join('\n');
  });
}

export async function rebuildTables({ log, settings, tables }: Headwater): Promise<void> {
  const { control } = await log.codecs();
  await rebuild(
    {
      tables,
      ...log.statusReading,
      manifest: (job) => JSON.stringify(wholeManifestOf(job, (key) => key)),
      databaseUrl: settings.sourceUrl,
      reader: log.reader,
      statusTopic: log.names.status,
      announced: { topic: log.names.announced, codec: control.announced },
    },
    AbortSignal.timeout(PATIENCE_MS),
  );
}

async function recordsOf(
  reader: Headwater['log']['reader'],
  topic: string,
  from: ReadonlyMap<number, number> = new Map(),
): Promise<StoredRecord[]> {
  const found: StoredRecord[] = [];
  for (const [partition, to] of (await reader.ends(topic)).entries()) {
    const range = { topic, partition, from: offset(from.get(partition) ?? 0), to };
    for await (const records of reader.read(range, AbortSignal.timeout(PATIENCE_MS)))
      found.push(...records.map((record) => ({ ...record, key: Buffer.from(record.key) })));
  }
  return found;
}
