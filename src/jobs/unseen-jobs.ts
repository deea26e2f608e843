import type { Pool } from 'pg';
import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import { asking } from '../database/pool.ts';
import type { LogReader, Partition } from '../log/log.ts';
import type { JobTables } from './schema.ts';

export interface UnseenOptions {
  readonly pool: Pool;
  readonly tables: JobTables;
  readonly reader: Pick<LogReader, 'ends' | 'offsetsAt' | 'read'>;
  readonly topics: { readonly status: string; readonly progress: string };
}

/** Records. A projection that is farther behind does not show which jobs make progress. */
const FAR_BEHIND = 10_000;

/** Ids of jobs with events that the projector has not stored yet. It is not known yet whether these jobs make progress. */
export async function unseenJobs(
  { pool, tables, reader, topics }: UnseenOptions,
  signal: AbortSignal,
): Promise<ReadonlySet<string> | 'far-behind'> {
  const jobs = new Set<string>();
  for (const [topic, offsets] of [
    [topics.status, tables.offset],
    [topics.progress, tables.progressOffset],
  ] as const) {
    const stored = await storedOffsets(pool, offsets);
    for (const unseen of await rangesAfter(reader, topic, stored)) {
      if (topic === topics.status && unseen.to - unseen.from > FAR_BEHIND) return 'far-behind';
      for await (const records of reader.read(unseen, signal))
        for (const { key } of records) jobs.add(key.toString());
    }
  }
  return jobs;
}

/** The next offset of each partition that the projector has stored. */
async function storedOffsets(pool: Pool, table: string): Promise<ReadonlyMap<number, number>> {
  const text = `SELECT partition, next FROM ${table}`;
  const { rows } = await asking(() => pool.query<{ partition: number; next: string }>(text));
  return new Map(rows.map(({ partition, next }) => [partition, Number(next)]));
}

async function rangesAfter(
  reader: UnseenOptions['reader'],
  topic: string,
  stored: ReadonlyMap<number, number>,
): Promise<(Partition & { from: Offset; to: Offset })[]> {
  const starts = await reader.offsetsAt(topic, 0); // retention may have removed the first records
  const parts = (await reader.ends(topic)).map((to, partition) => {
    const from = offset(Math.max(stored.get(partition) ?? 0, starts[partition] ?? 0));
    return { topic, partition, from, to };
  });
  return parts.filter(({ from, to }) => from < to);
}
