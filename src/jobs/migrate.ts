import type { Pool, PoolClient } from 'pg';
import { MAKE_DURABLE } from '../database/durable.ts';
import { transaction } from '../database/pool.ts';
import type { JobTables } from './schema.ts';

/** ms; creating an index on a large table is slow. */
const MIGRATION = 3_600_000;
const WITHOUT_LIMITS = `SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
  SELECT CASE WHEN current_setting('server_version_num')::int >= 170000 THEN set_config('transaction_timeout', '0', true) END`;

/** Creates the missing tables. Several processes may call it at once; a lock makes them take turns. */
export async function migrate(pool: Pool, tables: JobTables): Promise<void> {
  await transaction(pool, async (client) => {
    await client.query(MAKE_DURABLE);
    await client.query(WITHOUT_LIMITS);
    await lock(client, `migrate ${tables.schema}`);
    const make = { text: definition(tables), query_timeout: MIGRATION };
    await client.query(make);
  });
}

/** Holds the lock until the transaction ends. */
async function lock(client: Pick<PoolClient, 'query'>, name: string): Promise<void> {
  const wait = {
    text: 'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))',
    values: [`headwater ${name}`],
    query_timeout: MIGRATION,
  };
  await client.query(wait);
}

/**
 * `installation` names the owner of the schema. The gateway writes `export_request`, and `unfinished_request` for the requests that have
 * neither ended nor been cancelled: the cost of counting these does not grow with the number of past requests. `history` stores the
 * time before which jobs were forgotten. The other tables are the projection: a fold of the status topic. Only the projector writes them,
 * and it can rebuild them, so they hold only what the log holds (no clock, no sequence). From `unmarked_folder`, to which it adds completed
 * exports, the janitor takes those whose folders it has marked. The unlogged tables are not part of the fold:
 * they hold the time at which a job moved last, by the database's clock, and the progress of tasks. A crash of PostgreSQL empties them; they fill again.
 */
function definition(t: JobTables): string {
  return `
SET LOCAL client_min_messages = warning; -- no notice for tables that exist
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
ALTER TABLE ${t.request} ADD COLUMN IF NOT EXISTS "grant" jsonb;
ALTER TABLE ${t.request} ADD COLUMN IF NOT EXISTS seal text;
CREATE INDEX IF NOT EXISTS export_request_by_time ON ${t.request} (accepted_at);
CREATE INDEX IF NOT EXISTS export_request_by_client ON ${t.request} (client_id);

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
    -- An earlier release without this table may have left requests.
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
);

CREATE TABLE IF NOT EXISTS ${t.unmarked} (
  job_id        text PRIMARY KEY
);

CREATE TABLE IF NOT EXISTS ${t.usedAssertion} (
  hash          bytea PRIMARY KEY,
  dead_at       bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS used_assertion_by_time ON ${t.usedAssertion} (dead_at);

CREATE TABLE IF NOT EXISTS ${t.reload} (
  one           boolean PRIMARY KEY DEFAULT true CHECK (one),
  since         bigint NOT NULL
);

ALTER TABLE ${t.request} ADD COLUMN IF NOT EXISTS asked_by jsonb;
ALTER TABLE ${t.request} ADD COLUMN IF NOT EXISTS retention_ms bigint;
CREATE TABLE IF NOT EXISTS ${t.audit} (
  id            text PRIMARY KEY,
  at            bigint NOT NULL,
  entry         jsonb NOT NULL,
  n             bigint
);
CREATE UNIQUE INDEX IF NOT EXISTS audit_row_by_number ON ${t.audit} (n);
CREATE INDEX IF NOT EXISTS audit_row_without_number ON ${t.audit} (at) WHERE n IS NULL;`;
}
