import pg from 'pg';
import { sleep } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { parseLsn } from '../base/positions.ts';
import type { Lsn } from '../base/positions.ts';
import { unavailable } from '../database/errors.ts';
import { Lead } from '../database/lead.ts';
import type { LeadOptions } from '../database/lead.ts';
import { openSession } from '../database/session.ts';
import type { SourceMapping } from './source-mapping.ts';

export interface SlotState {
  /** PostgreSQL has dropped log that the slot still needed. */
  readonly lost: boolean;
  readonly confirmed: Lsn;
}

/** A new slot and the snapshot it starts from; the snapshot lives until `release`. */
export interface NewSlot {
  readonly consistentPoint: Lsn;
  readonly snapshot: string;
  release(): Promise<void>;
}

/** Between two looks whether an ended session is gone, in ms. */
const END_POLL = 50;

interface TableState {
  readonly relkind: string;
  readonly relreplident: string;
  readonly owned: boolean;
}

/** The source database as capture needs it set up: publication, slot, replica identity. Every call is short; none reads resources. */
export class Source {
  readonly #url: string;
  readonly #slot: string;
  readonly #publication: string;
  readonly #mapping: SourceMapping;

  constructor(options: { url: string; slot: string; publication: string; mapping: SourceMapping }) {
    this.#url = options.url;
    this.#slot = options.slot;
    this.#publication = options.publication;
    this.#mapping = options.mapping;
  }

  get slot(): string {
    return this.#slot;
  }

  get publication(): string {
    return this.#publication;
  }

  get url(): string {
    return this.#url;
  }

  get mapping(): SourceMapping {
    return this.#mapping;
  }

  /** Waits until no other capture of this slot leads. Two at a time would only fence each other in turn. */
  async lead(signal: AbortSignal, waits: Pick<LeadOptions, 'onWaiting' | 'onSilent'>): Promise<Lead> {
    const lead = await Lead.acquire(
      { ...waits, url: this.#url, name: `headwater capture ${this.#slot}` },
      signal,
    );
    try {
      await this.#endReaders(signal);
      return lead;
    } catch (error) {
      await lead.release();
      throw error;
    }
  }

  /** Whoever reads the slot of the one that leads has led before: it is frozen, or its host has vanished. */
  async #endReaders(signal: AbortSignal): Promise<void> {
    await this.#query(async (client) => {
      for (;;) {
        const { rowCount } = await client.query(
          'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL',
          [this.#slot],
        );
        if (rowCount === 0) return;
        await sleep(END_POLL, signal);
      }
    });
  }

  /** Tells this database from another one that has taken its place. */
  async systemId(): Promise<string> {
    return this.#query(async (client) => {
      const { rows } = await client.query<{ id: string }>(
        `SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) AS id FROM pg_control_system()`,
      );
      return rows[0]?.id ?? '';
    });
  }

  /** Throws `bad-config` naming what to change; creates the publication when it is not there. */
  async prepare(): Promise<void> {
    await this.#query(async (client) => {
      const { rows } = await client.query<{ wal_level: string }>('SHOW wal_level');
      if (rows[0]?.wal_level !== 'logical') {
        throw new HeadwaterError(
          'bad-config',
          `the source database has wal_level = ${rows[0]?.wal_level ?? ''}; set it to logical and restart it`,
        );
      }
      for (const { schema, table } of this.#mapping) await this.#prepareTable(client, schema, table);
      const tables = this.#mapping.map(({ schema, table }) => qualified(schema, table)).join(', ');
      const found = await client.query('SELECT 1 FROM pg_publication WHERE pubname = $1', [
        this.#publication,
      ]);
      const verb = found.rowCount
        ? `ALTER PUBLICATION ${pg.escapeIdentifier(this.#publication)} SET`
        : `CREATE PUBLICATION ${pg.escapeIdentifier(this.#publication)} FOR`;
      if (!found.rowCount || !(await this.#publishes(client))) await client.query(`${verb} TABLE ${tables}`);
    });
  }

  async slotState(): Promise<SlotState | undefined> {
    return this.#query(async (client) => {
      const { rows } = await client.query<{
        wal_status: string | null;
        confirmed_flush_lsn: string | null;
        plugin: string;
      }>(
        'SELECT wal_status, confirmed_flush_lsn, plugin FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()',
        [this.#slot],
      );
      const slot = rows[0];
      if (!slot) return undefined;
      if (slot.plugin !== 'pgoutput') {
        throw new HeadwaterError(
          'bad-config',
          `slot ${this.#slot} belongs to ${slot.plugin}; choose another HEADWATER_SLOT`,
        );
      }
      return { lost: slot.wal_status === 'lost', confirmed: parseLsn(slot.confirmed_flush_lsn ?? '0/0') };
    });
  }

  /** Drops the slot if there is one. Throws `unavailable` while another capture reads it. */
  async dropSlot(): Promise<void> {
    await this.#query(async (client) => {
      await client.query(
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()',
        [this.#slot],
      );
    });
  }

  async createSlot(): Promise<NewSlot> {
    const client = await openSession(this.#url, 'stream');
    try {
      const { rows } = await client.query<{ consistent_point: string; snapshot_name: string }>(
        `CREATE_REPLICATION_SLOT ${pg.escapeIdentifier(this.#slot)} LOGICAL pgoutput (SNAPSHOT 'export')`,
      );
      const created = rows[0];
      if (!created) throw new HeadwaterError('internal', 'PostgreSQL created a slot and says nothing of it');
      return {
        consistentPoint: parseLsn(created.consistent_point),
        snapshot: created.snapshot_name,
        release: () => client.end(),
      };
    } catch (error) {
      await client.end();
      throw unavailable(error);
    }
  }

  /** A connection in a read-only transaction that sees the database as the snapshot does. The caller ends it. */
  async atSnapshot(snapshot: string): Promise<pg.Client> {
    const client = await openSession(this.#url, 'load');
    try {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await client.query(`SET TRANSACTION SNAPSHOT ${pg.escapeLiteral(snapshot)}`);
      return client;
    } catch (error) {
      await client.end();
      throw unavailable(error);
    }
  }

  async #prepareTable(client: pg.Client, schema: string, table: string): Promise<void> {
    const { rows } = await client.query<TableState>(
      `SELECT c.relkind, c.relreplident, pg_has_role(c.relowner, 'USAGE') AS owned FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`,
      [schema, table],
    );
    const found = rows[0];
    const name = qualified(schema, table);
    if (!found)
      throw new HeadwaterError(
        'unavailable',
        `the source has no table ${schema}.${table} (HEADWATER_SOURCE_TABLE)`,
      );
    if (found.relkind === 'p') {
      // Its changes would come under the names of its parts, each with a replica identity of its own.
      throw new HeadwaterError(
        'bad-config',
        `${schema}.${table} (HEADWATER_SOURCE_TABLE) is partitioned, which is not supported`,
      );
    }
    if (found.relreplident === 'f') return;
    // Without it an update that leaves a large body as it was arrives without the body, and a delete without what it deleted.
    if (!found.owned) {
      throw new HeadwaterError(
        'bad-config',
        `the source's owner has to run: ALTER TABLE ${name} REPLICA IDENTITY FULL`,
      );
    }
    await client.query(`ALTER TABLE ${name} REPLICA IDENTITY FULL`);
  }

  async #publishes(client: pg.Client): Promise<boolean> {
    const { rows } = await client.query<{ name: string }>(
      'SELECT schemaname || $2 || tablename AS name FROM pg_publication_tables WHERE pubname = $1',
      [this.#publication, '.'],
    );
    const published = new Set(rows.map(({ name }) => name));
    return this.#mapping.every(({ schema, table }) => published.has(`${schema}.${table}`));
  }

  async #query<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await openSession(this.#url, 'catalog');
    try {
      return await work(client);
    } catch (error) {
      throw unavailable(error);
    } finally {
      await client.end();
    }
  }
}

function qualified(schema: string, table: string): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
}
