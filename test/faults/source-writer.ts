import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { lsn, parseLsn } from '../../src/base/positions.ts';
import { BODY_FUNCTION, History, MARKER, repeatsOf } from './history.ts';
import type { Changes } from './history.ts';
import { until } from '../support/until.ts';

/** How a transaction changes one resource. `touch` changes columns beside the body; `mark` deletes by the column `deleted`. */
export type Action = 'put' | 'touch' | 'delete' | 'mark';

/** ms between transactions: enough writes at all times, and enough CPU for the system under test. */
const PACE = 5;
const TYPES = ['Patient', 'Observation', 'Encounter'];
const IDS = 40;
const CHANGES_AT_MOST = 6;

/** The source's application: commits one transaction after the other and remembers each. */
export class SourceWriter {
  readonly history = new History();
  /** A place in the write-ahead log after the rows of the last `bulk` and before its commit. */
  bulkLsn = lsn(0n);
  readonly #url: string;
  readonly #versions = new Map<string, number>();
  #client: pg.Client | undefined;
  #running: Promise<void> | undefined;
  #stop = false;

  private constructor(url: string) {
    this.#url = url;
  }

  /** Makes the table. */
  static async create(url: string): Promise<SourceWriter> {
    const writer = new SourceWriter(url);
    const client = await writer.#connected();
    await client.query(`
      CREATE TABLE resource (type text NOT NULL, id text NOT NULL, version bigint NOT NULL, last_updated timestamptz NOT NULL,
        body text, deleted boolean NOT NULL DEFAULT false, PRIMARY KEY (type, id));
      ALTER TABLE resource REPLICA IDENTITY FULL;
      ALTER TABLE resource ALTER body SET STORAGE EXTERNAL; -- so that large bodies lie apart, and updates can leave them there
      ${BODY_FUNCTION}`);
    return writer;
  }

  /** Commits one transaction and returns its number. If the server goes away, asks whether it was committed, and repeats it if not. */
  async commit(actions: ReadonlyMap<string, Action>): Promise<number> {
    return this.#commit(this.#effect(actions), async (client) => {
      for (const [key, action] of actions) await this.#apply(client, key, action);
    });
  }

  /** One transaction that writes a new version of `count` resources `<type>/<prefix><i>`. */
  async bulk(type: string, prefix: string, count: number): Promise<number> {
    const keys = Array.from({ length: count }, (_, i) => `${type}/${prefix}${i + 1}`);
    return this.#commit(this.#effect(new Map(keys.map((key) => [key, 'put']))), async (client) => {
      const version = this.#nextVersion;
      await client.query(
        `INSERT INTO resource SELECT $1, $2 || i, $3, now(), fault_body($1, $2 || i, $3, $4) FROM generate_series(1, $5::int) i
         ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, last_updated = now(), body = excluded.body, deleted = false`,
        [type, prefix, version, repeatsOf(prefix), count],
      );
      const { rows } = await client.query<{ at: string }>('SELECT pg_current_wal_insert_lsn()::text AS at');
      this.bulkLsn = parseLsn(rows[0]?.at ?? '');
    });
  }

  /** Commits small random transactions until `pause`. */
  run(): void {
    this.#stop = false;
    this.#running = (async () => {
      while (!this.#stop) {
        await this.commit(this.#randomActions());
        await delay(PACE);
      }
    })();
    this.#running.catch(() => undefined); // `pause` throws it
  }

  async pause(): Promise<void> {
    this.#stop = true;
    await this.#running;
    this.#running = undefined;
  }

  async close(): Promise<void> {
    await this.pause().catch(() => undefined);
    await this.#client?.end().catch(() => undefined);
  }

  get #nextVersion(): number {
    return this.history.length + 1;
  }

  async #commit(changes: Changes, work: (client: pg.Client) => Promise<void>): Promise<number> {
    const number = this.#nextVersion;
    await until('a commit', async () => {
      const client = await this.#connected();
      try {
        await client.query('BEGIN');
        await work(client);
        await this.#apply(client, MARKER, 'put');
        await client.query('COMMIT');
        return true;
      } catch (error) {
        await client.query('ROLLBACK').catch(() => (this.#client = undefined));
        if (this.#client) throw error;
        return this.#wasCommitted(number);
      }
    });
    this.history.committed(changes);
    for (const [key, version] of changes) {
      if (version === null) this.#versions.delete(key);
      else this.#versions.set(key, version);
    }
    return number;
  }

  /** After a broken connection, asks the database whether the transaction was committed. */
  async #wasCommitted(number: number): Promise<boolean> {
    return until('the database to say what it has', async () => {
      const client = await this.#connected();
      const [type, id] = MARKER.split('/');
      const query = client.query<{ version: string }>(
        'SELECT version FROM resource WHERE type = $1 AND id = $2',
        [type, id],
      );
      const { rows } = await query.catch((error: unknown) => {
        this.#client = undefined;
        throw error;
      });
      return { known: Number(rows[0]?.version ?? 0) >= number };
    }).then(({ known }) => known);
  }

  async #apply(client: pg.Client, key: string, action: Action): Promise<void> {
    const [type = '', id = ''] = key.split('/');
    switch (action) {
      case 'put':
        await client.query(
          `INSERT INTO resource VALUES ($1, $2, $3, now(), fault_body($1, $2, $3, $4))
           ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, last_updated = now(), body = excluded.body, deleted = false`,
          [type, id, this.#nextVersion, repeatsOf(id)],
        );
        return;
      case 'touch':
        await client.query('UPDATE resource SET last_updated = now() WHERE type = $1 AND id = $2', [
          type,
          id,
        ]);
        return;
      case 'delete':
        await client.query('DELETE FROM resource WHERE type = $1 AND id = $2', [type, id]);
        return;
      case 'mark':
        await client.query('UPDATE resource SET deleted = true WHERE type = $1 AND id = $2', [type, id]);
    }
  }

  #effect(actions: ReadonlyMap<string, Action>): Changes {
    const changes = new Map<string, number | null>([[MARKER, this.#nextVersion]]);
    for (const [key, action] of actions) {
      const version = this.#versions.get(key);
      if (action === 'put') changes.set(key, this.#nextVersion);
      else if (version !== undefined) changes.set(key, action === 'touch' ? version : null);
    }
    return changes;
  }

  #randomActions(): Map<string, Action> {
    const actions = new Map<string, Action>();
    for (let n = 1 + Math.floor(Math.random() * CHANGES_AT_MOST); n > 0; n--) {
      const key = `${pick(TYPES)}/${Math.floor(Math.random() * IDS)}`;
      const known = this.#versions.has(key);
      actions.set(key, known ? pick(['put', 'put', 'touch', 'delete', 'mark'] as const) : 'put');
    }
    return actions;
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client) return this.#client;
    const client = new pg.Client({ connectionString: this.#url, connectionTimeoutMillis: 5_000 });
    client.on('error', () => {
      if (this.#client === client) this.#client = undefined;
    });
    await client.connect();
    this.#client = client;
    return client;
  }
}

function pick<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)] as T;
}
