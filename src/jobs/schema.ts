import { createHash } from 'node:crypto';
import type { Pool, PoolClient } from 'pg';
import { HeadwaterError } from '../base/errors.ts';
import { MAKE_DURABLE } from '../database/durable.ts';
import { transaction } from '../database/pool.ts';

/** Qualified, quoted names of what `migrate` makes. */
export interface JobTables {
  readonly schema: string;
  readonly installation: string;
  readonly request: string;
  readonly unfinished: string;
  readonly history: string;
  readonly job: string;
  readonly task: string;
  readonly file: string;
  readonly offset: string;
  readonly movement: string;
  readonly progress: string;
  readonly progressOffset: string;
  readonly announcement: string;
}

const DEFAULT_PREFIX = 'headwater';

/**
 * The schema of an installation, by its name: `headwater` for the default, `headwater_` and the name for others. A name that no
 * plain identifier can have gets a part of its hash, so that two names never have one schema.
 */
export function schemaOf(topicPrefix: string): string {
  if (topicPrefix === DEFAULT_PREFIX) return DEFAULT_PREFIX;
  const plain = topicPrefix
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]/g, '_')
    .slice(0, 44);
  if (plain === topicPrefix) return `headwater_${plain}`;
  return `headwater_${plain}_${createHash('sha256').update(topicPrefix).digest('hex').slice(0, 8)}`;
}

export function jobTables(schema: string): JobTables {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw new HeadwaterError(
      'bad-config',
      `"${schema}" cannot name a schema: use lower-case letters, digits and _`,
    );
  }
  const table = (name: string): string => `"${schema}"."${name}"`;
  return {
    schema: `"${schema}"`,
    installation: table('installation'),
    request: table('export_request'),
    unfinished: table('unfinished_request'),
    history: table('history'),
    job: table('job'),
    task: table('job_task'),
    file: table('job_file'),
    offset: table('projection_offset'),
    movement: table('job_movement'),
    progress: table('task_progress'),
    progressOffset: table('progress_offset'),
    announcement: table('announcement'),
  };
}

/** An index on a large table takes its time. */
const MIGRATION = 3_600_000;
const WITHOUT_LIMITS = `SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
  SELECT CASE WHEN current_setting('server_version_num')::int >= 170000 THEN set_config('transaction_timeout', '0', true) END`;

/** Makes the tables where they are missing. Many processes may do it at once; one waits for the other. */
export async function migrate(pool: Pool, tables: JobTables): Promise<void> {
  await transaction(pool, async (client) => {
    await client.query(MAKE_DURABLE);
    await client.query(WITHOUT_LIMITS);
    await lock(client, `migrate ${tables.schema}`);
    const make = { text: definition(tables), query_timeout: MIGRATION };
    await client.query(make);
  });
}

/** Until the end of the transaction. */
async function lock(client: Pick<PoolClient, 'query'>, name: string): Promise<void> {
  const wait = {
    text: 'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))',
    values: [`headwater ${name}`],
    query_timeout: MIGRATION,
  };
  await client.query(wait);
}

/**
 * `installation` says whose the schema is. `export_request` is the gateway's; `unfinished_request` has those of them that have
 * neither ended nor been cancelled: counting them does not depend on how many there ever were. `history` has the time before which
 * jobs were forgotten. The others are the projection: a fold of the status topic that only the projector writes and that can be made
 * again from it, so they hold nothing that is not in the log (no clock, no sequence). The unlogged ones are beside it: when a job moved
 * last, by the clock of the database, and how far tasks are. A crash of the server empties them, which costs nothing but time.
 */
function definition(t: JobTables): string {
  return `
SET LOCAL client_min_messages = warning; -- nothing about what is there already
CREATE SCHEMA IF NOT EXISTS ${t.schema};

CREATE TABLE IF NOT EXISTS ${t.installation} (
  one           boolean PRIMARY KEY DEFAULT true CHECK (one),
  name          text NOT NULL,
  id            text NOT NULL
);

CREATE TABLE IF NOT EXISTS ${t.request} (
  job_id        text PRIMARY KEY,
  client_id     text NOT NULL,
  request_url   text NOT NULL,
  parameters    jsonb NOT NULL,
  accepted_at   bigint NOT NULL,
  cancelled_at  bigint
);
CREATE INDEX IF NOT EXISTS export_request_by_time ON ${t.request} (accepted_at);

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

DO $once$ BEGIN
  IF to_regclass('${t.unfinished}') IS NULL THEN
    CREATE TABLE ${t.unfinished} (
      job_id        text PRIMARY KEY,
      client_id     text NOT NULL,
      accepted_at   bigint NOT NULL
    );
    -- A release that did not have this table may have left requests.
    INSERT INTO ${t.unfinished} SELECT job_id, client_id, accepted_at FROM ${t.request} r WHERE cancelled_at IS NULL
      AND NOT EXISTS (SELECT FROM ${t.job} j WHERE j.job_id = r.job_id AND state <> 'running');
  END IF;
END $once$;
CREATE INDEX IF NOT EXISTS unfinished_by_client ON ${t.unfinished} (client_id);

CREATE INDEX IF NOT EXISTS job_by_activity ON ${t.job} (active_at);

CREATE TABLE IF NOT EXISTS ${t.history} (
  one           boolean PRIMARY KEY DEFAULT true CHECK (one),
  before        bigint NOT NULL
);

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

CREATE UNLOGGED TABLE IF NOT EXISTS ${t.movement} (
  job_id        text PRIMARY KEY,
  moved_at      bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS movement_by_time ON ${t.movement} (moved_at);

CREATE UNLOGGED TABLE IF NOT EXISTS ${t.progress} (
  job_id        text NOT NULL,
  task_id       text NOT NULL,
  fraction      double precision NOT NULL,
  PRIMARY KEY (job_id, task_id)
);

CREATE UNLOGGED TABLE IF NOT EXISTS ${t.progressOffset} (
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
