import assert from 'node:assert/strict';
import type pg from 'pg';
import type { JobTables } from '../../src/jobs/schema.ts';

/** A place between transactions: after every transaction whose number is smaller. */
export type Place = number;

export interface Change {
  readonly type: string;
  readonly id: string;
  readonly live: boolean;
  /** The resource exists, but its body cannot be exported. */
  readonly bad: boolean;
  /** Of the body as a line, hex. */
  readonly sha: string | null;
  readonly place: Place;
}

/**
 * The oracle: what each transaction did to the resources, and the order in which transactions were committed.
 *
 * Triggers of the source table write down every effect of every statement, in the same transaction, so what is rolled back
 * is gone from here as well. For the order, the last thing each transaction does before COMMIT is to take an advisory lock
 * that lasts until its end, and a number: the next one gets both only after the commit record of this one is written. So
 * numbers are in the order of commit records in the write-ahead log. Kick-offs and whatever else takes a place do the same,
 * the product's own by a deferred trigger, which runs as the last thing before the commit.
 */
export class Ledger {
  readonly #pool: pg.Pool;
  /** The log does not hold earlier deletes. */
  loadedAt: Place | undefined;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async install(maxResourceBytes: number): Promise<void> {
    await this.#pool.query(definition(maxResourceBytes));
  }

  /** The table of requests must exist. */
  async orderKickOffs({ request }: JobTables): Promise<void> {
    await this.#pool.query(`
      CREATE FUNCTION oracle.kick_off() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM oracle.take_place(NEW.job_id); RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER kick_off AFTER INSERT ON ${request} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION oracle.kick_off()`);
  }

  async takePlace(client: pg.ClientBase): Promise<void> {
    await client.query('SELECT oracle.take_place(NULL)');
  }

  async placeOf(jobId: string): Promise<Place> {
    const { rows } = await this.#pool.query<{ place: string }>(
      'SELECT place FROM oracle.place WHERE job_id = $1',
      [jobId],
    );
    return Number(rows[0]?.place);
  }

  /** An instant with no commit in the hundredths of a second around it, and its place. */
  async instant(): Promise<{ time: string; place: Place }> {
    const client = await this.#pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT oracle.take_place(NULL), pg_sleep(0.02)');
      const { rows } = await client.query<{ time: string; place: string }>(
        `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time, place
         FROM oracle.place WHERE xid = pg_current_xact_id()`,
      );
      await client.query('SELECT pg_sleep(0.02)');
      await client.query('COMMIT');
      return { time: rows[0]?.time ?? '', place: Number(rows[0]?.place) };
    } finally {
      client.release();
    }
  }

  /** The places an LSN may be at: PostgreSQL may have written the last transaction's commit before it or after it. */
  async placesAt(lsn: string): Promise<[Place, Place]> {
    const { rows } = await this.#pool.query<{ place: string }>(
      'SELECT max(place) AS place FROM oracle.place WHERE at < $1',
      [lsn],
    );
    const last = Number(rows[0]?.place);
    return [last + 1, last];
  }

  /** The last change of each key before `to` and not before `from`. */
  async lastChanges(from: Place, to: Place): Promise<Change[]> {
    const { rows } = await this.#pool.query<Omit<Change, 'place'> & { place: string }>(
      `SELECT DISTINCT ON (type, id) type, id, live, bad, sha, place FROM oracle.change JOIN oracle.place USING (xid)
       WHERE place >= $1 AND place < $2 ORDER BY type, id, place DESC, n DESC`,
      [from, to],
    );
    return rows.map((row) => ({ ...row, place: Number(row.place) }));
  }

  /** Forgets changes that were followed by others of the same key: between them no export will ask any more. */
  async forgetOlder(): Promise<void> {
    await this.#pool.query(
      `DELETE FROM oracle.change c USING (
         SELECT n, row_number() OVER (PARTITION BY type, id ORDER BY place DESC, n DESC) AS nth FROM oracle.change JOIN oracle.place USING (xid)
       ) o WHERE o.n = c.n AND nth > 1`,
    );
  }

  /** Adds the writer of each difference, found by its checksum or its key. */
  async explain(text: string): Promise<string> {
    const { rows } = await this.#pool.query<{ type: string; id: string; live: boolean; place: string }>(
      `SELECT type, id, live, place FROM oracle.change JOIN oracle.place USING (xid) WHERE strpos($1, sha) > 0 OR strpos($1 || ' ', format(' %s/%s ', type, id)) > 0`,
      [text],
    );
    const known = rows.map((r) => `${r.type}/${r.id} ${r.live ? 'written' : 'deleted'} at ${r.place}`);
    return [text, ...known].join('; ');
  }

  /** Checks the oracle itself: it must equal the table. No writer may be active. */
  async check(): Promise<void> {
    const { rows } = await this.#pool.query(
      `WITH kept AS (
         SELECT DISTINCT ON (type, id) type, id, live, sha FROM oracle.change JOIN oracle.place USING (xid) ORDER BY type, id, place DESC, n DESC
       ), live AS (SELECT type, id, sha FROM kept WHERE live),
       there AS (SELECT type, id, oracle.sha(body::text) AS sha FROM resource WHERE NOT deleted)
       (TABLE live EXCEPT TABLE there) UNION ALL (TABLE there EXCEPT TABLE live)`,
    );
    assert.deepEqual(rows, [], 'the ledger is not what the table is');
  }
}

function definition(maxResourceBytes: number): string {
  return `
CREATE SCHEMA oracle;
CREATE TABLE oracle.change (
  n bigserial PRIMARY KEY, xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  type text NOT NULL, id text NOT NULL, live boolean NOT NULL, bad boolean NOT NULL, sha text
);
CREATE TABLE oracle.place (place bigserial PRIMARY KEY, xid xid8 NOT NULL UNIQUE, job_id text, at pg_lsn NOT NULL);

CREATE FUNCTION oracle.take_place(job text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_advisory_xact_lock(1);
  INSERT INTO oracle.place (xid, job_id, at) VALUES (pg_current_xact_id(), job, pg_current_wal_insert_lsn());
END $$;

-- Of a body as the one line it has to be.
CREATE FUNCTION oracle.sha(body text) RETURNS text LANGUAGE sql AS $$
  SELECT encode(sha256(convert_to(translate(body, E'\\n\\r', '  '), 'UTF8')), 'hex') $$;
-- Whether a row is no resource that can be exported.
CREATE FUNCTION oracle.bad(type text, id text, body text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  IF body IS NULL OR octet_length(body) > ${maxResourceBytes} OR NOT (body IS JSON OBJECT) THEN RETURN true; END IF;
  RETURN id !~ '^[A-Za-z0-9.-]{1,64}$' OR (body::json ->> 'resourceType', body::json ->> 'id') IS DISTINCT FROM (type, id);
END $$;

CREATE FUNCTION oracle.row_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP <> 'INSERT' AND NOT OLD.deleted
     AND (TG_OP = 'DELETE' OR NEW.deleted OR (NEW.type, NEW.id) <> (OLD.type, OLD.id)) THEN
    INSERT INTO oracle.change (type, id, live, bad) VALUES (OLD.type, OLD.id, false, false);
  END IF;
  IF TG_OP <> 'DELETE' AND NOT NEW.deleted THEN
    INSERT INTO oracle.change (type, id, live, bad, sha)
      VALUES (NEW.type, NEW.id, true, oracle.bad(NEW.type, NEW.id, NEW.body::text), oracle.sha(NEW.body::text));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER row_changed AFTER INSERT OR UPDATE OR DELETE ON resource FOR EACH ROW EXECUTE FUNCTION oracle.row_changed();

CREATE FUNCTION oracle.truncated() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO oracle.change (type, id, live, bad) SELECT type, id, false, false FROM resource WHERE NOT deleted;
  RETURN NULL;
END $$;
CREATE TRIGGER truncated BEFORE TRUNCATE ON resource FOR EACH STATEMENT EXECUTE FUNCTION oracle.truncated();`;
}
