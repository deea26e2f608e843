import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { kickOff } from '../src/client/export-client.ts';
import type { LogReader } from '../src/log/log.ts';
import type { BenchSystem } from './bench-system.ts';
import { jobIdOf } from './exports.ts';

/** A real change of the body that leaves it valid FHIR; the version and its time move on as a FHIR server would do it. */
const CHANGED = `version = version + 1, last_updated = now(),
  body = regexp_replace(body, '^(\\{"resourceType":"\\w+")(,"language":"[^"]*")?', '\\1,"language":"en-x-' || version || '"')`;
/** 0 to 999, evenly: a resource's place for choosing shares of all. */
const PLACE = `abs(hashtext(type || '/' || id)::bigint) % 1000`;
const ROWS_OF_A_TRANSACTION = 100;

export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'headwater bench' });
  client.on('error', () => undefined); // the query under way fails with it
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Without this, the first reader would pay for hint bits, statistics and dirty pages of the load. */
export async function settleSource(url: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query('VACUUM (ANALYZE) resource');
    await client.query('CHECKPOINT');
  });
}

/** Changes the resources whose place is in [from, to) thousandths, in one transaction. */
export function changeShare(url: string, from: number, to: number): Promise<number> {
  return withClient(url, async (client) => {
    const sql = `UPDATE resource SET ${CHANGED} WHERE ${PLACE} >= $1 AND ${PLACE} < $2`;
    return (await client.query(sql, [from, to])).rowCount ?? 0;
  });
}

export interface Key {
  readonly type: string;
  readonly id: string;
}

/** In random order, as clients come. */
export function keysOfShare(url: string, from: number, to: number): Promise<readonly Key[]> {
  return withClient(url, async (client) => {
    const sql = `SELECT type, id FROM resource WHERE ${PLACE} >= $1 AND ${PLACE} < $2 ORDER BY md5(id)`;
    return (await client.query<Key>(sql, [from, to])).rows;
  });
}

/** Changes the resources in transactions of 100 rows, several connections at a time. */
export async function changeInTransactions(
  url: string,
  keys: readonly Key[],
  options: { readonly connections: number; readonly signal: AbortSignal },
): Promise<void> {
  let next = 0;
  const connection = (): Promise<void> =>
    withClient(url, async (client) => {
      while (next < keys.length) {
        options.signal.throwIfAborted();
        const some = keys.slice(next, (next += ROWS_OF_A_TRANSACTION));
        await client.query({
          name: 'change',
          text: `UPDATE resource SET ${CHANGED} FROM unnest($1::text[], $2::text[]) AS k (t, i) WHERE type = k.t AND id = k.i`,
          values: [some.map(({ type }) => type), some.map(({ id }) => id)],
        });
      }
    });
  await Promise.all(Array.from({ length: options.connections }, connection));
}

/** Seconds until the cut of an export requested now is in the log, with everything committed before. */
export async function timeToCut(system: BenchSystem, signal: AbortSignal): Promise<number> {
  const begun = performance.now();
  const followed = new AbortController();
  const all = AbortSignal.any([signal, followed.signal]);
  const commands = new Arrivals();
  await commands.follow(system.log.reader, system.log.names.commands, all);
  try {
    const statusUrl = await kickOff({ server: system.server, types: ['Group'] }, signal);
    return ((await commands.of(jobIdOf(statusUrl), all)) - begun) / 1000;
  } finally {
    followed.abort();
  }
}

/**
 * Milliseconds from the return of a commit until a reader of the log has the change, for `count` single-row commits with
 * pauses between. Negative when the log is faster than the answer to the client.
 */
export async function commitLatencies(
  system: BenchSystem,
  count: number,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const followed = new AbortController();
  const all = AbortSignal.any([signal, followed.signal]);
  const arrivals = new Arrivals();
  await arrivals.follow(system.log.reader, system.log.names.resource('Patient'), all);
  try {
    return await withClient(system.settings.sourceUrl, async (client) => {
      const { rows } = await client.query<{ id: string }>(
        `SELECT id FROM resource WHERE type = 'Patient' ORDER BY id LIMIT $1`,
        [count],
      );
      const latencies: number[] = [];
      for (let i = 0; i < count; i++) {
        const id = rows[i % rows.length]?.id ?? '';
        const key = `Patient/${id}`;
        arrivals.forget(key);
        await client.query(`UPDATE resource SET ${CHANGED} WHERE type = 'Patient' AND id = $1`, [id]);
        const committed = performance.now();
        latencies.push((await arrivals.of(key, all)) - committed);
        await delay(20, undefined, { signal });
      }
      return latencies;
    });
  } finally {
    followed.abort();
  }
}

/** When keys arrive at a reader of a topic. */
class Arrivals {
  readonly #at = new Map<string, number>();
  readonly #waiting = new Map<string, (at: number) => void>();

  /** Resolves when nothing that comes from now on is missed. */
  async follow(reader: LogReader, topic: string, signal: AbortSignal): Promise<void> {
    for (const [partition, offset] of (await reader.ends(topic)).entries()) {
      const following = this.#follow(reader, { topic, partition, offset }, signal);
      following.catch(() => undefined); // then nothing arrives, which the phase's limit tells
    }
  }

  forget(key: string): void {
    this.#at.delete(key);
  }

  of(key: string, signal: AbortSignal): Promise<number> {
    const at = this.#at.get(key);
    if (at !== undefined) return Promise.resolve(at);
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.set(key, (at) => {
        signal.removeEventListener('abort', abort);
        resolve(at);
      });
    });
  }

  async #follow(
    reader: LogReader,
    from: Parameters<LogReader['follow']>[0],
    signal: AbortSignal,
  ): Promise<void> {
    for await (const records of reader.follow(from, signal)) {
      const now = performance.now();
      for (const record of records) {
        const key = record.key.toString();
        this.#at.set(key, now);
        this.#waiting.get(key)?.(now);
        this.#waiting.delete(key);
      }
    }
  }
}
