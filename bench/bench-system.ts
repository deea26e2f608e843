import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pino } from 'pino';
import { HeadwaterError } from '../src/base/errors.ts';
import { parseSettings } from '../src/config/settings.ts';
import type { Settings } from '../src/config/settings.ts';
import { LogAccess } from '../src/main/log-access.ts';
import { stackDown, stackStatus } from '../src/stack/commands.ts';
import { headwaterDirectory } from '../src/stack/contract.ts';
import type { Stack } from '../src/stack/contract.ts';
import { startLocalStack } from '../src/stack/local/local-stack.ts';
import { freePort, freePorts } from '../src/stack/ports.ts';
import { endLeftRoles, RoleProcesses } from './role-processes.ts';
import type { Measured } from './usage.ts';

/** Everything of the benchmark lies here, beside the `tools` of all stacks. */
export const benchDirectory = join(headwaterDirectory, 'bench');
const LOGS = join(benchDirectory, 'logs');
const FILES = join(benchDirectory, 'files');
/** The benchmark runs on its own servers and ignores the shell's settings for these. */
const LOCAL = { ...process.env, HEADWATER_STACK: 'local' };

/** The servers and Headwater's processes, of one benchmark. */
export class BenchSystem {
  readonly stack: Stack;
  readonly roles: RoleProcesses;
  #settings: Settings;
  #log: LogAccess;
  readonly #servers: readonly Measured[];

  private constructor(stack: Stack, made: { env: NodeJS.ProcessEnv; servers: readonly Measured[] }) {
    this.stack = stack;
    this.#settings = parseSettings(made.env);
    this.#servers = made.servers;
    this.#log = openLog(this.#settings);
    this.roles = new RoleProcesses({ directory: LOGS, env: made.env });
  }

  /** Servers on free ports with empty data, durable as people's are. No role runs yet. */
  static async start(signal: AbortSignal, report: (line: string) => void): Promise<BenchSystem> {
    await clearLeftovers(report);
    linkTools();
    const stack = await startLocalStack({
      directory: benchDirectory,
      purpose: 'people',
      ports: await freePorts(),
      env: LOCAL,
      signal,
      report,
    });
    try {
      const env = await environmentFor(stack);
      const pids = await stack.pids();
      const servers: Measured[] = [];
      if (pids.kafka !== undefined) servers.push({ name: 'kafka', pid: pids.kafka });
      if (pids.postgres !== undefined)
        servers.push({ name: 'postgresql', pid: pids.postgres, children: true });
      if (pids.registry !== undefined) servers.push({ name: 'registry', pid: pids.registry });
      return new BenchSystem(stack, { env, servers });
    } catch (error) {
      await stack.stop();
      throw error;
    }
  }

  get settings(): Settings {
    return this.#settings;
  }

  get log(): LogAccess {
    return this.#log;
  }

  get server(): string {
    return `${this.settings.publicUrl}/fhir`;
  }

  get files(): string {
    return FILES;
  }

  /** The processes that run now. */
  readonly measured = (): readonly Measured[] => [
    ...[...this.roles.pids].map(([name, pid]) => ({ name, pid })),
    ...this.#servers,
    { name: 'benchmark', pid: process.pid },
  ];

  /** Ends the roles; those started from now on have other settings. The servers stay. */
  async setUpAnew(changes: Readonly<Record<string, string>>): Promise<void> {
    await this.roles.endAll();
    await this.#log.close();
    this.roles.env = { ...this.roles.env, ...changes };
    this.#settings = parseSettings(this.roles.env);
    this.#log = openLog(this.#settings);
  }

  /** Ends everything; unless it is to be kept, the data goes too. */
  async stop(keep: boolean): Promise<void> {
    await this.roles.endAll();
    await this.#log.close();
    await this.stack.stop();
    if (!keep) await removeData();
  }
}

function openLog(settings: Settings): LogAccess {
  return new LogAccess(settings, pino({ level: 'warn' }, pino.destination(2)));
}

async function environmentFor(stack: Stack): Promise<NodeJS.ProcessEnv> {
  const { postgresUrl, kafkaBrokers, registryUrl } = stack.addresses;
  mkdirSync(FILES, { recursive: true });
  return {
    ...process.env, // so that any other setting can be tried out
    HEADWATER_ROLES: '',
    HEADWATER_SOURCE_URL: postgresUrl,
    HEADWATER_KAFKA_BROKERS: kafkaBrokers.join(','),
    HEADWATER_REGISTRY_URL: registryUrl,
    HEADWATER_STORAGE_URL: pathToFileURL(FILES).href,
    HEADWATER_URL_SECRET: randomBytes(32).toString('hex'),
    HEADWATER_HTTP_PORT: String(await freePort()),
    HEADWATER_PUBLIC_URL: '',
    HEADWATER_LOG_LEVEL: 'info', // the first load's times are read from the log
  };
}

/** Removes the leftovers of a killed benchmark or of one with --keep. Throws while another benchmark runs. */
async function clearLeftovers(report: (line: string) => void): Promise<void> {
  const { data } = await stackStatus({ directory: benchDirectory, env: LOCAL });
  if (data.kind !== undefined && data.until !== 'stack down')
    throw new HeadwaterError(
      'unavailable',
      `another benchmark is running (until ${data.until ?? 'it ends'})`,
    );
  if (data.kind !== undefined) report('Ending what an earlier benchmark left running.');
  await endLeftRoles(LOGS);
  await removeData();
}

async function removeData(): Promise<void> {
  await stackDown({ directory: benchDirectory, env: LOCAL, deleteData: true, report: () => undefined });
  rmSync(FILES, { recursive: true, force: true });
}

/** The downloads of the other stacks of this checkout are used. */
function linkTools(): void {
  const shared = join(headwaterDirectory, 'tools');
  mkdirSync(shared, { recursive: true });
  mkdirSync(benchDirectory, { recursive: true });
  const link = join(benchDirectory, 'tools');
  if (!existsSync(link)) symlinkSync(join('..', 'tools'), link);
}
