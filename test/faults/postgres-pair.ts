import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { postgresAccount } from '../../src/stack/local/account.ts';
import { findPostgres, reachableBinaries } from '../../src/stack/local/postgres-binaries.ts';
import { runOnce } from '../../src/stack/local/run-once.ts';
import { freePort } from '../../src/stack/ports.ts';
import { until } from '../support/until.ts';

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  fsync: 'off',
};

/** One PostgreSQL of a pair. */
class PostgresNode {
  readonly folder: string;
  readonly port: number;
  readonly #binary: string;
  #process: ChildProcess | undefined;

  constructor(folder: string, port: number, binary: string) {
    this.folder = folder;
    this.port = port;
    this.#binary = binary;
  }

  get url(): string {
    return `postgresql://headwater@127.0.0.1:${String(this.port)}/postgres`;
  }

  async start(): Promise<void> {
    const account = postgresAccount();
    const settings = Object.entries({ ...SETTINGS, port: String(this.port) });
    this.#process = spawn(
      this.#binary,
      ['-D', this.folder, ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      { stdio: 'ignore', cwd: this.folder, ...(account && { uid: account.uid, gid: account.gid }) },
    );
    await until('PostgreSQL to answer', () => this.query('SELECT').then(() => true));
  }

  /** Ends it as a power failure does. */
  async kill(): Promise<void> {
    if (!this.#process || this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGQUIT');
    await gone;
  }

  async query<Row extends pg.QueryResultRow>(text: string): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Row>(text)).rows;
    } finally {
      await client.end();
    }
  }
}

/** A primary and a standby of its own, made by a base backup. */
export class PostgresPair {
  readonly primary: PostgresNode;
  readonly standby: PostgresNode;
  readonly #folder: string;

  private constructor(folder: string, primary: PostgresNode, standby: PostgresNode) {
    this.#folder = folder;
    this.primary = primary;
    this.standby = standby;
  }

  /** Starts the primary. */
  static async create(): Promise<PostgresPair> {
    const account = postgresAccount();
    const folder = await mkdtemp(join(tmpdir(), 'headwater-pair-'));
    await chmod(folder, 0o755);
    const { initdb, postgres } = reachableBinaries(findPostgres(), account, folder);
    const [one, two] = [await freePort(), await freePort()];
    const primary = new PostgresNode(join(folder, 'primary'), one, postgres);
    const standby = new PostgresNode(join(folder, 'standby'), two, postgres);
    await mkdir(primary.folder, { mode: 0o700 });
    if (account) await chown(primary.folder, account.uid, account.gid);
    const parameters = ['-D', primary.folder, '-U', 'headwater', '-A', 'trust', '-E', 'UTF8', '--no-sync'];
    await runOnce(initdb, parameters, {
      env: process.env,
      signal: AbortSignal.timeout(120_000),
      cwd: primary.folder,
      account,
      failure: 'initdb failed',
    });
    await primary.start();
    return new PostgresPair(folder, primary, standby);
  }

  /**
   * Copies the primary and starts the copy as a standby that has caught up.
   * @param keepsSlots whether it keeps the primary's failover slots, which then give nothing out that it lacks
   */
  async startStandby(keepsSlots = false): Promise<void> {
    const account = postgresAccount();
    const client = new pg.Client({ connectionString: this.primary.url });
    await client.connect();
    try {
      await client.query(`SELECT pg_backup_start('standby', true)`);
      const leftOut = /\/(postmaster\.(pid|opts)|pg_replslot\/.+|pg_dynshmem\/.+)$/;
      await cp(this.primary.folder, this.standby.folder, {
        recursive: true,
        filter: (path) => !leftOut.test(path),
      });
      const { rows } = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop()');
      await writeFile(join(this.standby.folder, 'backup_label'), rows[0]?.labelfile ?? '');
    } finally {
      await client.end();
    }
    await writeFile(join(this.standby.folder, 'standby.signal'), '');
    await writeFile(
      join(this.standby.folder, 'postgresql.auto.conf'),
      [
        `primary_conninfo = 'host=127.0.0.1 port=${String(this.primary.port)} user=headwater dbname=postgres'`,
        ...(keepsSlots
          ? [`primary_slot_name = 'standby'`, 'hot_standby_feedback = on', 'sync_replication_slots = on']
          : []),
        '',
      ].join('\n'),
    );
    if (keepsSlots) {
      await this.primary.query(`SELECT pg_create_physical_replication_slot('standby', true)`);
      await this.primary.query(`ALTER SYSTEM SET synchronized_standby_slots = 'standby'`);
      await this.primary.query('SELECT pg_reload_conf()');
    }
    await chmod(this.standby.folder, 0o700);
    if (account)
      await runOnce(
        '/bin/chown',
        ['-R', `${String(account.uid)}:${String(account.gid)}`, this.standby.folder],
        {
          env: process.env,
          signal: AbortSignal.timeout(60_000),
          failure: 'chown failed',
        },
      );
    await this.standby.start();
    await until('the standby to catch up', async () => {
      const [sender] = await this.primary.query<{ caught: boolean }>(
        `SELECT replay_lsn >= pg_current_wal_lsn() AS caught FROM pg_stat_replication WHERE application_name = 'walreceiver'`,
      );
      return sender?.caught;
    });
  }

  async remove(): Promise<void> {
    await Promise.all([this.primary.kill(), this.standby.kill()]);
    await rm(this.#folder, { recursive: true, force: true });
  }
}
