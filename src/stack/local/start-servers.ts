import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { HeadwaterError, messageOf } from '../../base/errors.ts';
import { COMPONENTS, type Component, type StackAddresses } from '../contract.ts';
import { probesOf, waitUntilReady } from '../ready.ts';
import type { RunningServers } from './running-servers.ts';
import { isAlive, lastLines, startServer, type ServerProcess } from './server-process.ts';
import { checkObstacles, findServers, localAddresses, type Servers, type ServersOptions } from './servers.ts';
import { download } from './tools.ts';

const START_TIMEOUT_MS = 180_000;

/** After a kill, sessions of the old PostgreSQL may live for a moment and hold its shared memory. */
const MAX_RESTARTS = 20;

/** Starts the servers of one stack and waits until they answer. An abort of the signal ends every start that is under way. */
export class StartServers {
  readonly #options: ServersOptions;
  readonly #running: RunningServers;
  readonly #report: (line: string) => void;
  readonly #interrupted: AbortSignal;
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;
  #found: Servers | undefined;

  constructor(
    options: ServersOptions,
    running: RunningServers,
    report: (line: string) => void,
    interrupted: AbortSignal,
  ) {
    this.#options = options;
    this.#running = running;
    this.#report = report;
    this.#interrupted = interrupted;
    this.#signal = AbortSignal.any([interrupted, this.#failed.signal]);
  }

  /** Starts these servers and waits for all three. Looks for obstacles before it changes anything. */
  async start(missing: readonly Component[]): Promise<void> {
    if (missing.length > 0) await this.#prepare(missing);
    await this.#together((component) =>
      missing.includes(component)
        ? this.#startServer(component)
        : this.#waitFor(component, this.#running.processOf(component)),
    );
    this.#running.save();
  }

  /** Ends one server by the signal and starts it again on the same port and data. */
  async restart(component: Component, signal: NodeJS.Signals): Promise<void> {
    this.#found ??= await findServers(this.#options);
    await this.#running.end([component], () => signal);
    for (let attempt = 0; ; attempt++) {
      const process = await this.#spawn(component, this.#found);
      try {
        await this.#waitFor(component, process);
        return;
      } catch (error) {
        if (attempt >= MAX_RESTARTS || isAlive(process) || this.#signal.aborted) throw error;
      }
    }
  }

  async #prepare(missing: readonly Component[]): Promise<void> {
    const { directory, folder, env } = this.#options;
    const signal = this.#interrupted;
    this.#found = await findServers(this.#options);
    await checkObstacles(this.#found, missing, this.#options);
    signal.throwIfAborted();
    mkdirSync(join(folder, 'logs'), { recursive: true });
    this.#running.save();
    await download(this.#found.tools, { directory, env, signal, report: this.#report });
  }

  /** Starts all at once. The first failure ends the other starts. It is thrown when every start has ended. */
  async #together(start: (component: Component) => Promise<void>): Promise<void> {
    const errors: unknown[] = [];
    const starts = COMPONENTS.map((component) =>
      start(component).catch((error: unknown) => {
        errors.push(error);
        this.#failed.abort(error);
      }),
    );
    await Promise.all(starts);
    if (errors.length > 0) throw errors[0];
  }

  async #startServer(component: Component): Promise<void> {
    if (!this.#found) throw new HeadwaterError('internal', `the program of ${component} was not looked for`);
    const server = this.#found.servers[component];
    const begun = performance.now();
    await server.prepare(this.#signal);
    this.#signal.throwIfAborted();
    await this.#waitFor(component, await this.#spawn(component, this.#found));
    await server.afterStart();
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    const port = String(this.#running.ports[component]);
    this.#report(`${server.title} is ready on port ${port} (${seconds} s).`);
  }

  async #spawn(component: Component, { servers }: Servers): Promise<ServerProcess> {
    const process = await startServer(servers[component].command());
    this.#running.record(component, process);
    return process;
  }

  async #waitFor(component: Component, process: ServerProcess | undefined): Promise<void> {
    const title = this.#found?.servers[component].title ?? component;
    const probe = probesOf(addressesBeforeSetup(this.#options))[component];
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
    const alive = (): boolean => process !== undefined && isAlive(process);
    try {
      await waitUntilReady(title, probe, signal, alive);
    } catch (error) {
      const log = join(this.#options.folder, 'logs', `${component}.log`);
      throw new HeadwaterError('unavailable', `${messageOf(error)} (${log}: ${lastLines(log)})`, {
        cause: error,
      });
    }
  }
}

/** The database `headwater` is created after the start, so the probe asks the database `postgres`. */
function addressesBeforeSetup({ ports }: ServersOptions): StackAddresses {
  const addresses = localAddresses(ports);
  const url = new URL(addresses.postgresUrl);
  url.pathname = '/postgres';
  return { ...addresses, postgresUrl: url.href };
}
