import pg from 'pg';
import { uniqueIdentifier } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

/** A database user of a test's own, for which settings can be changed without touching other tests. */
export interface TestRole {
  readonly url: string;
  /** Runs as the administrator. */
  run(sql: string): Promise<void>;
  /** `ALTER ROLE … SET`. */
  set(settings: Readonly<Record<string, string>>): Promise<void>;
  remove(): Promise<void>;
}

export async function testRole(attributes = 'SUPERUSER REPLICATION'): Promise<TestRole> {
  const name = uniqueIdentifier('role');
  const admin = new pg.Client({ connectionString: sharedStack().postgresUrl });
  await admin.connect();
  await admin.query(`CREATE ROLE ${name} LOGIN PASSWORD 'secret' ${attributes}`);
  const url = new URL(sharedStack().postgresUrl);
  [url.username, url.password] = [name, 'secret'];
  return {
    url: url.href,
    run: async (sql) => {
      await admin.query(sql);
    },
    set: async (settings) => {
      for (const [key, value] of Object.entries(settings))
        await admin.query(`ALTER ROLE ${name} SET ${key} = ${pg.escapeLiteral(value)}`);
    },
    remove: async () => {
      await admin.query(`DROP OWNED BY ${name}; DROP ROLE ${name}`);
      await admin.end();
    },
  };
}

/** What an administrator may have set for the application whose database this is. */
export const HOSTILE_SETTINGS: Readonly<Record<string, string>> = {
  datestyle: 'SQL, DMY',
  timezone: 'Asia/Kolkata',
  intervalstyle: 'sql_standard',
  bytea_output: 'escape',
  extra_float_digits: '-3',
  search_path: 'nowhere',
  statement_timeout: '1s',
  lock_timeout: '1s',
  idle_session_timeout: '1s',
  idle_in_transaction_session_timeout: '1s',
  default_transaction_isolation: 'serializable',
  default_transaction_read_only: 'on',
  synchronous_commit: 'off',
  tcp_keepalives_idle: '7200',
};
