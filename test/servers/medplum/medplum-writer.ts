import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Random } from '../../e2e/random.ts';
import { CANARY, randomResource } from '../preset-writer.ts';
import type { PresetWriter, Resource } from '../preset-writer.ts';

const OURS = '11111111-0000-4000-8000-000000000001';
const OTHER = '22222222-0000-4000-8000-000000000002';
const OWN_TABLES = ['Login', 'User', 'ClientApplication', 'JsonWebKey', 'ProjectMembership'];

/** Observations come more often. */
const KINDS = ['Patient', 'Observation', 'Observation'] as const;

interface Stored {
  readonly resource: Resource;
  readonly project: string;
  readonly deleted: boolean;
}

/**
 * Writes as Medplum does: `packages/server/src/fhir/repo.ts` and `migrations/schema` of medplum/medplum. A table for each type with
 * `"Type_History"` beside it; a deleted resource has an empty content.
 */
export class MedplumWriter implements PresetWriter {
  readonly settings = { HEADWATER_SOURCE_PRESET: 'medplum', HEADWATER_SOURCE_TENANT: OURS };
  readonly tables = ['Condition', 'Observation', 'Patient'];
  readonly #withVersion: boolean;
  readonly #ids = new Map<string, string>();
  readonly #rows = new Map<string, Stored>();
  #time = Date.UTC(2026, 0, 1);

  /** @param withVersion the schema of 2026 has `__version`, that of 2024 has not */
  constructor(withVersion: boolean) {
    this.#withVersion = withVersion;
  }

  get answers(): ReadonlyMap<string, Resource> {
    const living = [...this.#rows].filter(([, { deleted, project }]) => !deleted && project === OURS);
    return new Map(living.map(([key, { resource }]) => [key, plain(resource)]));
  }

  async install(client: pg.ClientBase): Promise<void> {
    const version = this.#withVersion ? ', __version integer NOT NULL DEFAULT 0' : '';
    for (const type of [...this.tables, ...OWN_TABLES]) {
      await client.query(`CREATE TABLE "${type}" (id uuid PRIMARY KEY, content text NOT NULL,
        "lastUpdated" timestamptz NOT NULL, deleted boolean NOT NULL DEFAULT false, "projectId" uuid,
        compartments uuid[]${version})`);
      await client.query(
        `CREATE TABLE "${type}_History" ("versionId" uuid PRIMARY KEY, id uuid NOT NULL, content text NOT NULL, "lastUpdated" timestamptz NOT NULL)`,
      );
    }
    await this.writeSecrets(client);
  }

  /** Writes a row with the secret into each table of the server's own types. */
  async writeSecrets(client: pg.ClientBase): Promise<void> {
    for (const type of OWN_TABLES) {
      const id = randomUUID();
      const content = JSON.stringify({ resourceType: type, id, secret: CANARY });
      await client.query(
        `INSERT INTO "${type}" (id, content, "lastUpdated", "projectId") VALUES ($1, $2, now(), $3)`,
        [id, content, OURS],
      );
    }
  }

  async step(client: pg.ClientBase, random: Random): Promise<void> {
    const type = random.pick(KINDS);
    const name = random.pick(['p1', 'p2', 'p3', 'p4', 'p5', 'p6']);
    const id = this.#idOf(type, name);
    const stored = this.#rows.get(`${type}/${id}`);
    const operation = random.weighted({ put: 6, delete: 2, expunge: 1, reindex: 2, move: 1 });
    switch (operation) {
      case 'put': {
        const project = stored?.project ?? (random.chance(0.8) ? OURS : OTHER);
        return this.#write(client, this.#versioned(random, type, name, project), project);
      }
      case 'delete':
        return stored && !stored.deleted ? this.#delete(client, stored) : undefined;
      case 'expunge':
        await client.query(`DELETE FROM "${type}" WHERE id = $1`, [id]);
        await client.query(`DELETE FROM "${type}_History" WHERE id = $1`, [id]);
        this.#rows.delete(`${type}/${id}`);
        return;
      case 'reindex': // the compartments are computed again, version and time stay
        return stored && !stored.deleted
          ? this.#upsert(client, compartmented(stored.resource), stored)
          : undefined;
      case 'move': {
        if (!stored || stored.deleted) return;
        const project = stored.project === OURS ? OTHER : OURS;
        return this.#write(client, this.#versioned(random, type, name, project), project);
      }
    }
  }

  /** Writes the rows of all living resources again, as a reindex or a data migration does: with other compartments, the same version. */
  async reindex(client: pg.ClientBase): Promise<number> {
    const living = [...this.#rows.values()].filter(({ deleted, project }) => !deleted && project === OURS);
    for (const { resource, project } of living)
      await this.#upsert(client, compartmented(resource), { project });
    return living.length;
  }

  /** Medplum's ids are UUIDs. */
  #idOf(type: string, name: string): string {
    const key = `${type}/${name}`;
    const id = this.#ids.get(key) ?? randomUUID();
    this.#ids.set(key, id);
    return id;
  }

  #versioned(random: Random, type: 'Patient' | 'Observation', name: string, project: string): Resource {
    const { resourceType, id: _, subject, ...rest } = randomResource(random, type, name);
    const patient = /Patient\/(.+)/.exec(
      (subject as { reference?: string } | undefined)?.reference ?? '',
    )?.[1];
    return {
      resourceType,
      ...rest,
      ...(patient !== undefined && { subject: { reference: `Patient/${this.#idOf('Patient', patient)}` } }),
      id: this.#idOf(type, name),
      meta: {
        versionId: randomUUID(),
        lastUpdated: new Date((this.#time += random.int(1, 5_000))).toISOString(),
        author: { reference: 'Practitioner/someone' },
        project,
        compartment: [{ reference: `Project/${project}` }],
        tag: [{ code: 'kept' }],
      },
    };
  }

  async #write(client: pg.ClientBase, resource: Resource, project: string): Promise<void> {
    await this.#upsert(client, resource, { project });
    const { versionId, lastUpdated } = metaOf(resource);
    await client.query(`INSERT INTO "${resource.resourceType}_History" VALUES ($1, $2, $3, $4)`, [
      versionId,
      resource.id,
      JSON.stringify(resource),
      lastUpdated,
    ]);
  }

  async #upsert(
    client: pg.ClientBase,
    resource: Resource,
    { project }: Pick<Stored, 'project'>,
  ): Promise<void> {
    await this.#row(client, resource, { content: JSON.stringify(resource), project, deleted: false });
    this.#rows.set(`${resource.resourceType}/${resource.id}`, { resource, project, deleted: false });
  }

  async #delete(client: pg.ClientBase, { resource, project }: Stored): Promise<void> {
    await this.#row(client, resource, { content: '', project, deleted: true });
    this.#rows.set(`${resource.resourceType}/${resource.id}`, { resource, project, deleted: true });
  }

  async #row(
    client: pg.ClientBase,
    resource: Resource,
    {
      content,
      project,
      deleted,
    }: { readonly content: string; readonly project: string; readonly deleted: boolean },
  ): Promise<void> {
    const columns = ['id', 'content', '"lastUpdated"', 'deleted', '"projectId"', 'compartments'];
    const values: unknown[] = [
      resource.id,
      content,
      metaOf(resource).lastUpdated,
      deleted,
      project,
      [project],
    ];
    if (this.#withVersion) {
      columns.push('__version');
      values.push(deleted ? -1 : 3);
    }
    const places = values.map((_, i) => `$${i + 1}`).join(', ');
    const set = columns
      .slice(1)
      .map((name) => `${name} = EXCLUDED.${name}`)
      .join(', ');
    await client.query(
      `INSERT INTO "${resource.resourceType}" (${columns.join(', ')}) VALUES (${places}) ON CONFLICT (id) DO UPDATE SET ${set}`,
      values,
    );
  }
}

function metaOf(resource: Resource): { readonly versionId: string; readonly lastUpdated: string } {
  return resource['meta'] as { versionId: string; lastUpdated: string };
}

/** The same version with other compartments, as a reindex stores it. */
function compartmented(resource: Resource): Resource {
  const compartment = [{ reference: `Project/${OURS}` }, { reference: `Patient/${randomUUID()}` }];
  return { ...resource, meta: { ...metaOf(resource), compartment } };
}

/** A resource as the API gives it without `X-Medplum: extended`. */
function plain(resource: Resource): Resource {
  const { author: _a, project: _p, compartment: _c, ...meta } = resource['meta'] as Record<string, unknown>;
  return { ...resource, meta };
}
