import type { Pool, PoolClient } from 'pg';
import { HeadwaterError } from '../base/errors.ts';
import { transaction } from '../database/pool.ts';

/** Qualified, quoted names of what `migrate` makes. */
export interface JobTables {
  readonly schema: string;
  readonly request: string;
  readonly job: string;
  readonly task: string;
  readonly file: string;
  readonly offset: string;
  readonly announcement: string;
}

export const DEFAULT_SCHEMA = 'headwater';

export function jobTables(schema = DEFAULT_SCHEMA): JobTables {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw new HeadwaterError(
      'bad-config',
      `"${schema}" cannot name a schema: use lower-case letters, digits and _`,
    );
  }
  const table = (name: string): string => `"${schema}"."${name}"`;
  return {
    schema: `"${schema}"`,
    request: table('export_request'),
    job: table('job'),
    task: table('job_task'),
    file: table('job_file'),
    offset: table('projection_offset'),
    announcement: table('announcement'),
  };
}

/** Makes the tables where they are missing. Many processes may do it at once; one waits for the other. */
export async function migrate(pool: Pool, tables: JobTables): Promise<void> {
  await transaction(pool, async (client) => {
    await lock(client, `migrate ${tables.schema}`);
    await client.query(definition(tables));
  });
}

/** Until the end of the transaction. */
export async function lock(client: Pick<PoolClient, 'query'>, name: string): Promise<void> {
  await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`headwater ${name}`]);
}

/**
 * `export_request` is the gateway's. The others are the projection: a fold of the status topic that only the projector
 * writes and that can be made again from it, so they hold nothing that is not in the log (no clock, no sequence).
 */
function definition(t: JobTables): string {
  return `
CREATE SCHEMA IF NOT EXISTS ${t.schema};

CREATE TABLE IF NOT EXISTS ${t.request} (
  job_id        text PRIMARY KEY,
  client_id     text NOT NULL,
  request_url   text NOT NULL,
  parameters    jsonb NOT NULL,
  accepted_at   bigint NOT NULL,
  cancelled_at  bigint
);
CREATE INDEX IF NOT EXISTS export_request_open ON ${t.request} (accepted_at) WHERE cancelled_at IS NULL;

CREATE TABLE IF NOT EXISTS ${t.job} (
  job_id        text PRIMARY KEY,
  state         text NOT NULL,
  plan          jsonb,
  started       boolean NOT NULL,
  active_at     bigint NOT NULL,
  ended_at      bigint,
  failure       jsonb
);
CREATE INDEX IF NOT EXISTS job_by_state ON ${t.job} (state, active_at);

CREATE TABLE IF NOT EXISTS ${t.task} (
  job_id        text NOT NULL,
  task_id       text NOT NULL,
  lane          text NOT NULL,
  planned_bytes bigint NOT NULL,
  starts        integer NOT NULL,
  fraction      double precision NOT NULL,
  completed     boolean NOT NULL,
  PRIMARY KEY (job_id, task_id)
);

ALTER TABLE ${t.task} ADD COLUMN IF NOT EXISTS place integer;

CREATE TABLE IF NOT EXISTS ${t.file} (
  job_id        text NOT NULL,
  task_id       text NOT NULL,
  n             integer NOT NULL,
  kind          text NOT NULL,
  type          text NOT NULL,
  key           text NOT NULL,
  count         bigint NOT NULL,
  bytes         bigint NOT NULL,
  sha256        text NOT NULL,
  PRIMARY KEY (job_id, task_id, n)
);

CREATE TABLE IF NOT EXISTS ${t.offset} (
  partition     integer PRIMARY KEY,
  next          bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS ${t.announcement} (
  partition     integer NOT NULL,
  "offset"      bigint NOT NULL,
  n             integer NOT NULL,
  event         jsonb NOT NULL,
  PRIMARY KEY (partition, "offset", n)
);`;
}
