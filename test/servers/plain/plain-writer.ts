import type pg from 'pg';
import type { Random } from '../../e2e/random.ts';
import { randomResource } from '../preset-writer.ts';
import type { PresetWriter, Resource } from '../preset-writer.ts';

/** Observations come more often. */
const KINDS = ['Patient', 'Observation', 'Observation'] as const;

interface Stored {
  readonly resource: Resource;
  readonly version: number;
  readonly updated: Date;
  readonly tenant: string;
  readonly deleted: boolean;
}

/** A server with one table of all resources: names of columns, and the SQL type of the body. */
export interface PlainServer {
  readonly settings: Readonly<Record<string, string>>;
  /** `CREATE TABLE`. */
  readonly table: string;
  readonly columns: {
    readonly id: string;
    readonly body: string;
    /** Whether a column tells the FHIR version. */
    readonly hasFhirVersion: boolean;
  };
}

/** Helios FHIR Server: `helios-persistence` 0.2.7, schema 54. */
export const HFS: PlainServer = {
  settings: { HEADWATER_SOURCE_PRESET: 'hfs', HEADWATER_SOURCE_TENANT: 'one' },
  table: `CREATE TABLE resources (tenant_id text, resource_type text, id text, version_id text NOT NULL, data jsonb NOT NULL,
    last_updated timestamptz NOT NULL, is_deleted boolean NOT NULL DEFAULT false, deleted_at timestamptz,
    fhir_version text NOT NULL DEFAULT '4.0', PRIMARY KEY (tenant_id, resource_type, id))`,
  columns: { id: 'id', body: 'data', hasFhirVersion: true },
};

/** WSO2 FHIR Server: schema 7, whose bodies are text. Row-level security is on. */
export const WSO2: PlainServer = {
  settings: { HEADWATER_SOURCE_PRESET: 'wso2', HEADWATER_SOURCE_TENANT: 'one' },
  table: `CREATE TABLE resources (tenant_id text, fhir_id text, resource_type text, version_id int NOT NULL, resource_json text NOT NULL,
    last_updated timestamptz NOT NULL, is_deleted boolean NOT NULL DEFAULT false, PRIMARY KEY (tenant_id, resource_type, fhir_id));
    ALTER TABLE resources ENABLE ROW LEVEL SECURITY`,
  columns: { id: 'fhir_id', body: 'resource_json', hasFhirVersion: false },
};

/** Writes to one plain table, in two tenants. A deleted row keeps its body. */
export class PlainWriter implements PresetWriter {
  readonly tables = ['resources'];
  readonly settings: Readonly<Record<string, string>>;
  readonly #server: PlainServer;
  readonly #rows = new Map<string, Stored>();
  #time = Date.UTC(2026, 0, 1);

  constructor(server: PlainServer) {
    this.#server = server;
    this.settings = server.settings;
  }

  get answers(): ReadonlyMap<string, Resource> {
    const living = [...this.#rows.values()].filter(({ tenant, deleted }) => tenant === 'one' && !deleted);
    return new Map(
      living.map(({ resource, version, updated }) => [
        `${resource.resourceType}/${resource.id}`,
        { ...resource, meta: { versionId: String(version), lastUpdated: updated.toISOString() } },
      ]),
    );
  }

  async install(client: pg.ClientBase): Promise<void> {
    await client.query(this.#server.table);
  }

  async step(client: pg.ClientBase, random: Random): Promise<void> {
    const type = random.pick(KINDS);
    const id = random.pick(['p1', 'p2', 'p3', 'p4', 'p5']);
    const tenant = random.chance(0.8) ? 'one' : 'two';
    const key = `${tenant} ${type}/${id}`;
    const stored = this.#rows.get(key);
    const version = (stored?.version ?? 0) + 1;
    const updated = new Date((this.#time += random.int(1, 5_000)));
    switch (random.weighted({ put: 6, delete: 2, purge: 1, again: 1, move: 1 })) {
      case 'put':
        return this.#write(client, key, {
          resource: randomResource(random, type, id),
          version,
          updated,
          tenant,
          deleted: false,
        });
      case 'delete':
        if (stored && !stored.deleted)
          await this.#write(client, key, { ...stored, version, updated, deleted: true });
        return;
      case 'again': // the same row once more
        if (stored) await this.#write(client, key, stored);
        return;
      case 'purge':
        await client.query(
          `DELETE FROM resources WHERE tenant_id = $1 AND resource_type = $2 AND ${this.#server.columns.id} = $3`,
          [tenant, type, id],
        );
        this.#rows.delete(key);
        return;
      case 'move':
        return this.#move(client, type, id);
    }
  }

  /** Gives a resource to the other tenant, if that one has none of the id. */
  async #move(client: pg.ClientBase, type: string, id: string): Promise<void> {
    const [one, two] = [`one ${type}/${id}`, `two ${type}/${id}`];
    const [from, to] = this.#rows.has(one) ? [one, two] : [two, one];
    const stored = this.#rows.get(from);
    if (!stored || this.#rows.has(to)) return;
    const tenant = to.slice(0, 3);
    await client.query(
      `UPDATE resources SET tenant_id = $1 WHERE tenant_id = $2 AND resource_type = $3 AND ${this.#server.columns.id} = $4`,
      [tenant, stored.tenant, type, id],
    );
    this.#rows.delete(from);
    this.#rows.set(to, { ...stored, tenant });
  }

  async #write(client: pg.ClientBase, key: string, stored: Stored): Promise<void> {
    const { resource, version, updated, tenant, deleted } = stored;
    const { id, body } = this.#server.columns;
    await client.query(
      `INSERT INTO resources (tenant_id, resource_type, ${id}, version_id, ${body}, last_updated, is_deleted)
       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, resource_type, ${id}) DO UPDATE
       SET version_id = EXCLUDED.version_id, ${body} = EXCLUDED.${body}, last_updated = EXCLUDED.last_updated,
         is_deleted = EXCLUDED.is_deleted`,
      [
        tenant,
        resource.resourceType,
        resource.id,
        String(version),
        JSON.stringify(resource),
        updated,
        deleted,
      ],
    );
    this.#rows.set(key, stored);
  }
}
