import type { Client } from 'pg';
import { escapeIdentifier } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { once } from 'node:events';
import { HeadwaterError } from '../base/errors.ts';

const COLUMNS = 'type, id, version, last_updated, body';
const UNIQUE_VIOLATION = '23505';

/** The table of preset `headwater`, written to. Every batch is a transaction of its own. */
export class SourceTable {
  readonly #client: Client;
  readonly #name: string;
  readonly #bodyType: string;
  /** True while the table was empty at the beginning: plain COPY is the fastest way, until a row exists already. */
  #plain: boolean;

  private constructor(client: Client, name: string, state: { bodyType: string; empty: boolean }) {
    this.#client = client;
    this.#name = name;
    this.#bodyType = state.bodyType;
    this.#plain = state.empty;
  }

  /**
   * Creates the table if it is missing, with REPLICA IDENTITY FULL, so that a change tells what it replaced.
   * @param table `schema.table`
   */
  static async open(client: Client, table: string): Promise<SourceTable> {
    const [schema, name, ...rest] = table.split('.');
    if (!schema || !name || rest.length > 0)
      throw new HeadwaterError('bad-config', `"${table}" is not schema.table`);
    const quoted = `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`;
    await createIfMissing(client, quoted);
    const { rows } = await client.query<{ type: string }>(
      `SELECT format_type(atttypid, NULL) AS type FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'body'`,
      [quoted],
    );
    const bodyType = rows[0]?.type;
    if (!bodyType || !['text', 'json', 'jsonb'].includes(bodyType)) {
      throw new HeadwaterError('unsupported', `${table} has no column body of type text, json or jsonb`);
    }
    const { rowCount } = await client.query(`SELECT 1 FROM ${quoted} LIMIT 1`);
    return new SourceTable(client, quoted, { bodyType, empty: rowCount === 0 });
  }

  /** Inserts or replaces rows in COPY's text format; returns how many were new or different. */
  async write(rows: Buffer): Promise<number> {
    if (this.#plain) {
      try {
        return await this.#copy(`COPY ${this.#name} (${COLUMNS}) FROM STDIN`, rows);
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === UNIQUE_VIOLATION)) throw error;
        this.#plain = false; // the failed batch has written nothing
      }
    }
    return this.#upsert(rows);
  }

  /** Writes through a temporary table. The last of several versions in one batch wins; an equal row is not touched. */
  async #upsert(rows: Buffer): Promise<number> {
    const body = `body::${this.#bodyType}`;
    await this.#client.query('BEGIN');
    try {
      await this.#client.query(
        `CREATE TEMP TABLE IF NOT EXISTS headwater_load (n bigint GENERATED ALWAYS AS IDENTITY,
           type text, id text, version bigint, last_updated timestamptz, body text) ON COMMIT DELETE ROWS`,
      );
      await this.#copy(`COPY headwater_load (${COLUMNS}) FROM STDIN`, rows);
      const { rowCount } = await this.#client.query(
        `INSERT INTO ${this.#name} AS r (${COLUMNS})
           SELECT DISTINCT ON (type, id) type, id, version, last_updated, ${body} FROM headwater_load ORDER BY type, id, n DESC
         ON CONFLICT (type, id) DO UPDATE SET version = greatest(excluded.version, r.version + 1),
           last_updated = excluded.last_updated, body = excluded.body, deleted = false
         WHERE r.deleted OR r.body::text IS DISTINCT FROM excluded.body::text`,
      );
      await this.#client.query('COMMIT');
      return rowCount ?? 0;
    } catch (error) {
      await this.#client.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
  }

  async #copy(sql: string, rows: Buffer): Promise<number> {
    const stream = this.#client.query(copyFrom(sql));
    stream.end(rows);
    await once(stream, 'finish');
    return stream.rowCount;
  }
}

/** Creates the table if it is missing. It looks first, because a user with the right to write may lack the right to create. */
async function createIfMissing(client: Client, quoted: string): Promise<void> {
  const { rows } = await client.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [
    quoted,
  ]);
  if (rows[0]?.found === true) return;
  await client.query(`
    CREATE TABLE IF NOT EXISTS ${quoted} (
      type text NOT NULL,
      id text NOT NULL,
      version bigint NOT NULL,
      last_updated timestamptz NOT NULL,
      body text,
      deleted boolean NOT NULL DEFAULT false,
      PRIMARY KEY (type, id)
    );
    ALTER TABLE ${quoted} REPLICA IDENTITY FULL;
  `);
}
