import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { offset } from '../../src/base/positions.ts';
import type { ExportEvent } from '../../src/events/export-event.ts';
import type { StoredRecord } from '../../src/log/log.ts';
import type { Deployment } from './deployment.ts';
import { until } from '../support/until.ts';

/** All committed records of a topic, by partition. */
export async function recordsOf({ log }: Deployment, topic: string): Promise<StoredRecord[][]> {
  const { signal } = new AbortController();
  const ends = await log.reader.ends(topic);
  return Promise.all(
    ends.map(async (to, partition) => {
      const records: StoredRecord[] = [];
      for await (const some of log.reader.read({ topic, partition, from: offset(0), to }, signal))
        records.push(...some.map((record) => ({ ...record, value: Buffer.from(record.value) })));
      return records;
    }),
  );
}

export function jobOf(statusUrl: string): string {
  return new URL(statusUrl).pathname.split('/').at(-1) ?? '';
}

/** The public events of one job, as `kind` or `kind:file`, sorted. */
export async function announced(deployment: Deployment): Promise<Map<string, string[]>> {
  const { control } = await deployment.log.codecs();
  const records = (await recordsOf(deployment, deployment.log.names.exports)).flat();
  const events = records.map(({ value }): ExportEvent => control.exportEvent.decode(value));
  const byJob = Map.groupBy(events, ({ jobId }) => jobId);
  return new Map(
    [...byJob].map(([jobId, list]) => [
      jobId,
      list.map(({ kind, file }) => (file ? `${kind}:${file.key}` : kind)),
    ]),
  );
}

/** Each event of a completed job exists once: `accepted` and `started` first, `completed` last. */
export function assertAnnouncedOnce(events: readonly string[] | undefined, files: number): void {
  assert.ok(events, 'nothing was announced');
  assert.deepEqual(events.slice(0, 2), ['accepted', 'started']);
  assert.equal(events.at(-1), 'completed');
  assert.equal(events.length, files + 3);
  assert.equal(new Set(events).size, events.length, 'no event is announced twice');
}

/**
 * Every request is completed, the tables equal a rebuild, and every event was announced once.
 * @param jobs ids of exports and their number of files
 */
export async function assertSettled(
  deployment: Deployment,
  jobs: ReadonlyMap<string, number>,
): Promise<void> {
  await until('every request to be completed', async () => {
    const [row] = await deployment.query<{ open: string }>(
      `SELECT count(*) AS open FROM ${deployment.tables.request} r LEFT JOIN ${deployment.tables.job} j USING (job_id)
       WHERE j.state IS DISTINCT FROM 'completed'`,
    );
    return row?.open === '0';
  });
  const before = await projection(deployment);
  rebuild(deployment);
  assert.equal(await projection(deployment), before);
  const events = await announced(deployment);
  for (const [job, files] of jobs) assertAnnouncedOnce(events.get(job), files);
}

/** The projection, after the projector has stored everything that the log holds. */
export async function projection(deployment: Deployment): Promise<string> {
  const wanted = (await recordsOf(deployment, deployment.log.names.status)).flatMap((records, partition) =>
    records.slice(-1).map((last) => `${partition}:${last.offset + 1}`),
  );
  await until('the projection to catch up', async () => {
    const rows = await deployment.query<{ at: string }>(
      `SELECT partition || ':' || next AS at FROM ${deployment.tables.offset} ORDER BY partition`,
    );
    return rows.map(({ at }) => at).join() === wanted.join();
  });
  const tables = ['job', 'job_task', 'job_file', 'projection_offset'];
  const text = tables.map(
    (name) =>
      `(SELECT jsonb_agg(to_jsonb(t) ORDER BY t::text) FROM ${deployment.tables.schema}.${name} t) AS ${name}`,
  );
  return JSON.stringify(await deployment.query(`SELECT ${text.join(', ')}`));
}

/** Runs `headwater rebuild`. A projector may run at the same time. */
export function rebuild(deployment: Deployment): void {
  const entry = join(import.meta.dirname, '..', '..', 'src', 'main', 'headwater.ts');
  const { status, stderr } = spawnSync(process.execPath, [entry, 'rebuild'], {
    env: { ...process.env, ...deployment.env },
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
}
