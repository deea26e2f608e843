import pg from 'pg';
import { uniqueIdentifier } from '../../support/names.ts';

export interface HapiDatabase {
  readonly url: string;
  readonly client: pg.Client;
  /** Ends the connection and drops the database with its slots. */
  remove(): Promise<void>;
}

/** An empty database of the PostgreSQL server at this address. */
export async function createDatabase(postgresUrl: string): Promise<HapiDatabase> {
  const name = uniqueIdentifier('hapi');
  const admin = new pg.Client({ connectionString: postgresUrl });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  const address = new URL(postgresUrl);
  address.pathname = `/${name}`;
  const client = new pg.Client({ connectionString: address.href });
  await client.connect();
  return {
    url: address.href,
    client,
    async remove() {
      await client.query(
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()',
      );
      await client.end();
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    },
  };
}
