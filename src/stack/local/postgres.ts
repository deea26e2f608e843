import { chownSync, existsSync, lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { canReach, privateFolder, type Account } from './account.ts';
import { reachableBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { runOnce } from './run-once.ts';
import { plainEnvironment, type ServerCommand } from './server-process.ts';
import type { Server, ServerOptions } from './server.ts';

/** One role and one database for a server that listens on 127.0.0.1 only. */
const ROLE = 'headwater';
const PASSWORD = 'headwater';
const DATABASE = 'headwater';

export function localPostgresUrl(port: number, database = DATABASE): string {
  return `postgresql://${ROLE}:${PASSWORD}@127.0.0.1:${String(port)}/${database}`;
}

/** Settings for the command line, so that a change here also applies to existing data. */
export function postgresSettings(port: number, purpose: 'people' | 'tests'): Record<string, string> {
  return {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '', // the path of a deep checkout can be too long for a socket
    wal_level: 'logical',
    max_wal_senders: '16',
    max_replication_slots: '16',
    track_commit_timestamp: 'on',
    max_connections: '200',
    fsync: purpose === 'people' ? 'on' : 'off',
    ...(purpose === 'tests' && { full_page_writes: 'off' }),
  };
}

export interface PostgresOptions extends ServerOptions {
  readonly port: number;
  readonly binaries: PostgresBinaries;
  readonly account: Account | undefined;
  /** A folder that PostgreSQL's user can enter, for a checkout in root's home. */
  readonly elsewhere: string;
}

export class PostgresServer implements Server {
  readonly title: string;
  readonly #options: PostgresOptions;

  constructor(options: PostgresOptions) {
    this.#options = options;
    this.title = `PostgreSQL ${String(options.binaries.major)}`;
  }

  obstacle(): string | undefined {
    const { account, elsewhere } = this.#options;
    const owner = account && lstatSync(elsewhere, { throwIfNoEntry: false })?.uid;
    // In /var/tmp another user could have made it and put a program into it.
    if (owner !== undefined && owner !== 0) return `${elsewhere} belongs to another user: delete it.`;
    const version = join(this.#home(), 'data', 'PG_VERSION');
    const { major } = this.#options.binaries;
    if (!existsSync(version) || readFileSync(version, 'utf8').trim() === String(major)) return undefined;
    const written = readFileSync(version, 'utf8').trim();
    return `The data in ${this.#home()} was written by PostgreSQL ${written}, and only ${String(major)} was found: delete that folder, or install ${written}.`;
  }

  async prepare(signal: AbortSignal): Promise<void> {
    const home = this.#home();
    const data = join(home, 'data');
    if (existsSync(data)) return;
    const { account, env } = this.#options;
    privateFolder(home, account);
    const partial = `${data}.partial`;
    rmSync(partial, { recursive: true, force: true });
    const passwordFile = join(home, 'password');
    writeFileSync(passwordFile, PASSWORD, { mode: 0o600 });
    if (account) chownSync(passwordFile, account.uid, account.gid);
    const login = ['-U', ROLE, '-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
    const parameters = ['-D', partial, ...login, '-E', 'UTF8', '--locale=C', '--no-sync'];
    try {
      await runOnce(this.#binaries().initdb, parameters, {
        env,
        signal,
        cwd: home,
        account,
        failure: 'initdb failed',
      });
    } finally {
      rmSync(passwordFile, { force: true });
    }
    renameSync(partial, data);
  }

  command(): ServerCommand {
    const { port, purpose, env, folder, account } = this.#options;
    const settings = Object.entries(postgresSettings(port, purpose)).flatMap(([name, value]) => [
      '-c',
      `${name}=${value}`,
    ]);
    return {
      file: this.#binaries().postgres,
      parameters: ['-D', join(this.#home(), 'data'), ...settings],
      cwd: this.#home(),
      env: plainEnvironment(env),
      log: join(folder, 'logs', 'postgres.log'),
      account,
    };
  }

  async afterStart(): Promise<void> {
    const client = new pg.Client({ connectionString: localPostgresUrl(this.#options.port, 'postgres') });
    await client.connect();
    try {
      const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
      if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
    } finally {
      await client.end();
    }
  }

  /** The folder of the data: in the stack's folder, unless PostgreSQL's user cannot enter that. */
  #home(): string {
    const { folder, account, elsewhere } = this.#options;
    return join(canReach(folder, account) ? folder : elsewhere, 'postgres');
  }

  #binaries(): PostgresBinaries {
    const { binaries, account, elsewhere } = this.#options;
    return reachableBinaries(binaries, account, elsewhere);
  }
}
