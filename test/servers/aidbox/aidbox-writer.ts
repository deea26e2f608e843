import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Random } from '../../e2e/random.ts';
import { CANARY, randomResource } from '../preset-writer.ts';
import type { PresetWriter, Resource } from '../preset-writer.ts';
import { toAidbox } from './aidbox-form.ts';

/** Observations come more often. */
const KINDS = ['Patient', 'Observation', 'Observation'] as const;
/** Tables of Aidbox itself, which have the same columns. */
const OWN_TABLES = ['client', 'session', 'user', 'accesspolicy', 'attribute'];

interface Stored {
  readonly resource: Resource;
  readonly txid: number;
  readonly updated: string;
  readonly created: string;
}

/**
 * Writes as Aidbox does: docs/database/database-schema.md of HealthSamurai/aidbox-docs. A table for each type with `_history` beside it,
 * bodies in Aidbox's form, a deleted resource has no row. FHIRbase has the same without `cts` (init/functions.sql of fhirbase/fhirbase).
 */
export class AidboxWriter implements PresetWriter {
  readonly settings: Readonly<Record<string, string>>;
  readonly tables = ['observation', 'patient'];
  readonly #hasCreated: boolean;
  readonly #rows = new Map<string, Stored>();
  readonly #deleted = new Set<string>();
  #txid = 0;

  constructor(preset: 'aidbox' | 'fhirbase') {
    this.settings = { HEADWATER_SOURCE_PRESET: preset };
    this.#hasCreated = preset === 'aidbox';
  }

  get answers(): ReadonlyMap<string, Resource> {
    return new Map([...this.#rows].map(([key, stored]) => [key, this.#answer(stored)]));
  }

  async install(client: pg.ClientBase): Promise<void> {
    await client.query(`CREATE TYPE resource_status AS ENUM ('created', 'updated', 'deleted', 'recreated')`);
    const created = this.#hasCreated ? 'cts timestamptz NOT NULL,' : '';
    for (const table of [...this.tables, ...OWN_TABLES]) {
      const columns = `txid bigint NOT NULL, ts timestamptz NOT NULL, ${created} resource_type text, status resource_status NOT NULL, resource jsonb NOT NULL`;
      await client.query(`CREATE TABLE "${table}" (id text PRIMARY KEY, ${columns})`);
      await client.query(`CREATE TABLE "${table}_history" (id text, ${columns}, PRIMARY KEY (id, txid))`);
    }
    await this.writeSecrets(client);
  }

  /** Writes a row with the secret into each of Aidbox's own tables. */
  async writeSecrets(client: pg.ClientBase): Promise<void> {
    const created = this.#hasCreated ? ['cts,', 'now(),'] : ['', ''];
    for (const table of OWN_TABLES)
      await client.query(
        `INSERT INTO "${table}" (id, txid, ts, ${created[0]} resource_type, status, resource)
         VALUES ($1, $2, now(), ${created[1]} initcap($3), 'created', $4)`,
        [randomUUID(), ++this.#txid, table, JSON.stringify({ secret: CANARY })],
      );
  }

  async step(client: pg.ClientBase, random: Random): Promise<void> {
    const type = random.pick(KINDS);
    const id = random.pick(['p1', 'p2', 'p3', 'p4', 'p5']);
    const key = `${type}/${id}`;
    const stored = this.#rows.get(key);
    switch (random.weighted({ put: 6, delete: 2, again: 1, truncate: 0.1 })) {
      case 'put':
        return this.#write(client, randomResource(random, type, id), random);
      case 'delete':
        return this.#delete(client, type.toLowerCase(), id);
      case 'again': // the row is written once more, as a migration does
        if (stored)
          await client.query(`UPDATE ${type.toLowerCase()} SET resource = resource WHERE id = $1`, [id]);
        return;
      case 'truncate':
        await client.query(`TRUNCATE ${type.toLowerCase()}`);
        for (const one of this.#rows.keys()) if (one.startsWith(`${type}/`)) this.#rows.delete(one);
    }
  }

  /** The last version and a marker go to the history. FHIRbase's marker keeps the status of that version. */
  async #delete(client: pg.ClientBase, table: string, id: string): Promise<void> {
    const status = this.#hasCreated ? `'deleted'` : 'status';
    const created = this.#hasCreated ? 'cts,' : '';
    await client.query(`INSERT INTO ${table}_history SELECT * FROM ${table} WHERE id = $1`, [id]);
    await client.query(
      `INSERT INTO ${table}_history SELECT id, $2, now(), ${created} resource_type, ${status}, resource FROM ${table} WHERE id = $1`,
      [id, ++this.#txid],
    );
    await client.query(`DELETE FROM ${table} WHERE id = $1`, [id]);
    const key = `${table === 'patient' ? 'Patient' : 'Observation'}/${id}`;
    if (this.#rows.delete(key)) this.#deleted.add(key);
  }

  async #write(client: pg.ClientBase, resource: Resource, random: Random): Promise<void> {
    const key = `${resource.resourceType}/${resource.id}`;
    const { resourceType, id, ...rest } = resource;
    // FHIRbase leaves the type in the body.
    const stored = this.#hasCreated ? rest : { resourceType, ...rest };
    const before = this.#rows.get(key);
    const micros = String(random.int(0, 999_999)).padStart(6, '0');
    const updated = `2026-11-27T01:02:03.${micros}Z`;
    const row = { resource, txid: ++this.#txid, updated, created: before?.created ?? updated };
    const body = JSON.stringify(toAidbox(stored, this.#hasCreated && random.chance(0.5)));
    const columns = [
      'id',
      'txid',
      'ts',
      ...(this.#hasCreated ? ['cts'] : []),
      'resource_type',
      'status',
      'resource',
    ];
    const values = [
      id,
      row.txid,
      updated,
      ...(this.#hasCreated ? [row.created] : []),
      resourceType,
      before ? 'updated' : this.#deleted.has(key) ? 'recreated' : 'created',
      body,
    ];
    const table = resourceType.toLowerCase();
    await client.query(`INSERT INTO ${table}_history SELECT * FROM ${table} WHERE id = $1`, [id]);
    await client.query(
      `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${values.map((_, i) => `$${i + 1}`).join(', ')})
       ON CONFLICT (id) DO UPDATE SET ${columns.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}`,
      values,
    );
    this.#rows.set(key, row);
  }

  #answer({ resource, txid, updated, created }: Stored): Resource {
    const extension = [{ url: 'https://aidbox.app/ex/createdAt', valueInstant: trimmed(created) }];
    const meta = { versionId: String(txid), lastUpdated: trimmed(updated) };
    return { ...resource, meta: this.#hasCreated ? { ...meta, extension } : meta };
  }
}

/** PostgreSQL stores no zeros at the end of a fraction; an instant has ms at least. */
function trimmed(instant: string): string {
  const [, start = '', fraction = ''] = /^(.*\.)(\d+)Z$/.exec(instant) ?? [];
  return `${start}${fraction.replace(/0+$/, '').padEnd(3, '0')}Z`;
}
