import pg from 'pg';
import type { LoadQuery, TableName } from './presets/preset.ts';
import { qualified } from './source-problem.ts';

/** Pages of a part at least, of 8 KiB each: a smaller table is read by one connection. */
const MIN_PAGES = 4_096;
/** PostgreSQL reads a range of places directly from version 14 on; before, each part would read the whole table. */
const DIRECT_RANGES = 140_000;

/** A load query over a part of its table. */
export type LoadPart = Omit<LoadQuery, 'sql'> & { readonly sql: string };

/**
 * Divides a load query into queries that read a part of its table each, by where the rows lie. Together they return every row once, in one snapshot.
 * @param connections the most parts of the table, or of each partition
 * @param partitions of the table; undefined if it is not partitioned
 */
export async function dividedQueries(
  client: pg.ClientBase,
  query: LoadQuery,
  connections: number,
  partitions?: readonly TableName[],
): Promise<LoadPart[]> {
  const parts: LoadPart[] = [];
  for (const one of partitions ?? [query.from])
    parts.push(...(await ranges(client, query, connections, one)));
  return parts;
}

async function ranges(
  client: pg.ClientBase,
  query: LoadQuery,
  connections: number,
  from: TableName,
): Promise<LoadPart[]> {
  const sql = query.sql(from);
  const { rows } = await client.query<{ version: number; pages: string }>(
    `SELECT current_setting('server_version_num')::int AS version,
      pg_relation_size($1::regclass) / current_setting('block_size')::int AS pages`,
    [qualified(from)],
  );
  const { version = 0, pages = '0' } = rows[0] ?? {};
  if (version < DIRECT_RANGES) return [{ ...query, sql }];
  const parts = Math.max(1, Math.min(connections, Math.floor(Number(pages) / MIN_PAGES)));
  const step = Math.ceil(Number(pages) / parts);
  return Array.from({ length: parts }, (_, i) => {
    const place = (page: number): string => `'(${String(page)},0)'::tid`;
    const after = i === 0 ? '' : ` AND ${query.place} >= ${place(i * step)}`;
    const to = i === parts - 1 ? '' : ` AND ${query.place} < ${place((i + 1) * step)}`;
    return { ...query, sql: sql + after + to };
  });
}

/** Yields the items of several sources as they come. Each source is one item ahead at most. */
export async function* merged<T>(sources: readonly AsyncIterable<T>[]): AsyncIterable<T> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const next = async (
    i: number,
  ): Promise<{ readonly i: number; readonly result: IteratorResult<T, unknown> }> => ({
    i,
    result: await (iterators[i] as AsyncIterator<T, unknown>).next(),
  });
  const waiting = new Map(iterators.map((_, i) => [i, next(i)]));
  try {
    while (waiting.size > 0) {
      const { i, result } = await Promise.race(waiting.values());
      if (result.done) {
        waiting.delete(i);
        continue;
      }
      waiting.set(i, next(i));
      yield result.value;
    }
  } finally {
    for (const promise of waiting.values()) promise.catch(() => undefined);
    for (const iterator of iterators) await iterator.return?.();
  }
}
