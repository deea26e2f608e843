import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { HeadwaterError, messageOf } from '../../base/errors.ts';
import {
  COMPONENTS,
  headwaterDirectory,
  type Component,
  type Stack,
  type StackOptions,
} from '../contract.ts';
import { Interruption } from '../interruption.ts';
import { freePorts, portsForPeople } from '../ports.ts';
import { probesOf, waitUntilReady } from '../ready.ts';
import { endServer, isAlive, lastLines, send, startServer, type ServerProcess } from './server-process.ts';
import { checkObstacles, findServers, localAddresses, type Servers } from './servers.ts';
import { readState, thisProcess, withLock, writeState, type StackState } from './stack-state.ts';
import { removeStackFolder, sweepTestStacks } from './test-stacks.ts';
import { download } from './tools.ts';

const START_TIMEOUT_MS = 180_000;

/** Where the stack of people lies under `.headwater`. */
export function peopleFolder(directory: string): string {
  return join(directory, 'stack');
}

/**
 * The servers as processes of this machine. `stack.json` in the stack's folder always names what runs, so whatever
 * ends this process, the next start (or `stack down`) finds the servers and takes them over.
 */
export async function startLocalStack(options: StackOptions): Promise<Stack> {
  const interruption = new Interruption(options);
  try {
    const stack = await LocalStack.start(options, interruption);
    interruption.started(() => stack.stop());
    return stack;
  } catch (error) {
    interruption.ended();
    throw error;
  }
}

class LocalStack implements Stack {
  readonly kind = 'local';
  readonly addresses: Stack['addresses'];
  readonly #options: StackOptions;
  readonly #folder: string;
  readonly #state: StackState;
  readonly #interruption: Interruption;
  readonly #failed = new AbortController();
  /** Ends a start: an interruption, or the failure of another server. */
  readonly #signal: AbortSignal;
  #found: Servers | undefined;
  /** What `stop` ends. */
  readonly #own = new Set<Component>();
  #stopped: Promise<void> | undefined;
  /** Restarts run one after the other. */
  #restarting: Promise<void> = Promise.resolve();
  readonly #onExit = (): void => {
    for (const component of this.#own) {
      const server = this.#state.processes[component];
      if (server) send(server, this.#options.purpose === 'tests' ? 'SIGKILL' : 'SIGTERM');
    }
  };

  private constructor(options: StackOptions, folder: string, state: StackState, interruption: Interruption) {
    this.#options = options;
    this.#folder = folder;
    this.#state = state;
    this.#interruption = interruption;
    this.#signal = AbortSignal.any([interruption.signal, this.#failed.signal]);
    this.addresses = localAddresses(state.ports);
  }

  static async start(options: StackOptions, interruption: Interruption): Promise<LocalStack> {
    const { env = process.env, directory = headwaterDirectory } = options;
    if (options.purpose === 'tests') {
      await sweepTestStacks(directory);
      const folder = join(directory, `test-stack-${randomBytes(4).toString('hex')}`);
      const ports = await freePorts(options.ports);
      const state: StackState = { keep: false, owner: thisProcess(), ports, processes: {} };
      const stack = new LocalStack(options, folder, state, interruption);
      await stack.#start(env);
      return stack;
    }
    const folder = peopleFolder(directory);
    return withLock(folder, interruption.signal, async () => {
      const state = adopted(readState(folder), options) ?? {
        keep: options.keep === true,
        owner: thisProcess(),
        ports: portsForPeople(env, options.ports),
        processes: {},
      };
      const stack = new LocalStack(options, folder, state, interruption);
      await stack.#start(env);
      return stack;
    });
  }

  /** Starts the servers that do not run; a start that fails ends those it started. */
  async #start(env: NodeJS.ProcessEnv): Promise<void> {
    const { state, options } = { state: this.#state, options: this.#options };
    const missing = COMPONENTS.filter((component) => state.processes[component] === undefined);
    const kept = state.keep || state.owner.pid !== process.pid;
    if (!kept) for (const component of COMPONENTS) this.#own.add(component);
    const started: Component[] = [];
    process.on('exit', this.#onExit);
    try {
      if (missing.length > 0) {
        const { directory = headwaterDirectory, purpose } = options;
        const given = { directory, folder: this.#folder, purpose, env, ports: state.ports };
        this.#found = await findServers(given);
        await checkObstacles(this.#found, missing, given);
        this.#interruption.signal.throwIfAborted();
        mkdirSync(join(this.#folder, 'logs'), { recursive: true });
        writeState(this.#folder, state);
        const report = options.report.bind(options);
        await download(this.#found.tools, { directory, env, signal: this.#interruption.signal, report });
      }
      await this.#together((component) => {
        if (!missing.includes(component)) return this.#waitFor(component);
        started.push(component);
        return this.#startServer(component);
      });
      writeState(this.#folder, state);
    } catch (error) {
      this.#own.clear();
      for (const component of started) this.#own.add(component);
      await this.#end();
      throw this.#interruption.signal.aborted ? this.#interruption.signal.reason : error;
    }
  }

  /** All at once. The first failure ends the others' starts, and is thrown when none of them can start anything any more. */
  async #together(start: (component: Component) => Promise<void>): Promise<void> {
    const first: unknown[] = [];
    const starts = COMPONENTS.map((component) =>
      start(component).catch((error: unknown) => {
        first.push(error);
        this.#failed.abort(error);
      }),
    );
    await Promise.all(starts);
    if (first.length > 0) throw first[0];
  }

  async #startServer(component: Component): Promise<void> {
    const server = this.#server(component);
    const begun = performance.now();
    await server.prepare(this.#signal);
    this.#signal.throwIfAborted();
    const process = await this.#spawn(component);
    await this.#waitFor(component, process);
    await server.afterStart();
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    this.#options.report(
      `${server.title} is ready on port ${String(this.#state.ports[component])} (${seconds} s).`,
    );
  }

  async #spawn(component: Component): Promise<ServerProcess> {
    const process = await startServer(this.#server(component).command());
    this.#state.processes[component] = process;
    writeState(this.#folder, this.#state);
    return process;
  }

  async #waitFor(component: Component, process = this.#state.processes[component]): Promise<void> {
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
    const alive = (): boolean => process !== undefined && isAlive(process);
    // Asked of the server's own database before `headwater` is made in it, hence `postgres`.
    const addresses = component === 'postgres' ? this.#maintenanceAddresses() : this.addresses;
    try {
      await waitUntilReady(
        this.#found?.servers[component].title ?? component,
        probesOf(addresses)[component],
        signal,
        alive,
      );
    } catch (error) {
      const log = join(this.#folder, 'logs', `${component}.log`);
      throw new HeadwaterError('unavailable', `${messageOf(error)} (${log}: ${lastLines(log)})`, {
        cause: error,
      });
    }
  }

  #maintenanceAddresses(): Stack['addresses'] {
    const url = new URL(this.addresses.postgresUrl);
    url.pathname = '/postgres';
    return { ...this.addresses, postgresUrl: url.href };
  }

  #server(component: Component): Servers['servers'][Component] {
    if (this.#found) return this.#found.servers[component];
    throw new HeadwaterError('internal', `${component} was found running, not started from here`);
  }

  stop(): Promise<void> {
    // `stack up` may have said meanwhile that they are to be left running.
    if (this.#options.purpose === 'people' && readState(this.#folder)?.keep === true) this.#own.clear();
    this.#stopped ??= this.#end();
    return this.#stopped;
  }

  async #end(): Promise<void> {
    await this.#restarting.catch(() => undefined); // so that it cannot start anything behind this
    const ended = [...this.#own];
    await Promise.all(
      ended.map(async (component) => {
        const server = this.#state.processes[component];
        if (server)
          await endServer(server, this.#options.purpose === 'tests' ? 'SIGKILL' : stopSignal(component));
        this.#state.processes[component] = undefined;
      }),
    );
    this.#own.clear();
    if (this.#options.purpose === 'tests') removeStackFolder(this.#folder);
    else if (ended.length > 0) writeState(this.#folder, this.#state);
    process.off('exit', this.#onExit);
    this.#interruption.ended();
  }

  restart(component: Component, how: 'term' | 'kill'): Promise<void> {
    this.#restarting = this.#restarting.catch(() => undefined).then(() => this.#restart(component, how));
    return this.#restarting;
  }

  async #restart(component: Component, how: 'term' | 'kill'): Promise<void> {
    if (this.#stopped) throw new HeadwaterError('unavailable', 'the stack is stopped');
    const { directory = headwaterDirectory, purpose, env = process.env } = this.#options;
    const ports = this.#state.ports;
    this.#found ??= await findServers({ directory, folder: this.#folder, purpose, env, ports });
    const running = this.#state.processes[component];
    if (running) await endServer(running, how === 'kill' ? 'SIGKILL' : stopSignal(component));
    for (let attempt = 0; ; attempt++) {
      const process = await this.#spawn(component);
      try {
        await this.#waitFor(component, process);
        return;
      } catch (error) {
        // After a kill, sessions of the old PostgreSQL may live for a moment and hold its shared memory.
        if (attempt >= 20 || isAlive(process) || this.#signal.aborted) throw error;
      }
    }
  }

  pids(): Promise<Partial<Record<Component, number>>> {
    const running = COMPONENTS.flatMap((component) => {
      const server = this.#state.processes[component];
      return server && isAlive(server) ? [[component, server.pid]] : [];
    });
    return Promise.resolve(Object.fromEntries(running) as Partial<Record<Component, number>>);
  }
}

/** PostgreSQL's SIGINT is its fast shutdown; its SIGTERM would wait for every client to leave. */
export function stopSignal(component: Component): NodeJS.Signals {
  return component === 'postgres' ? 'SIGINT' : 'SIGTERM';
}

/**
 * What runs already. Left running on purpose, or by another process that lives: use it and leave it. Left by a process
 * that is gone: take it over, and end it with this one.
 */
function adopted(state: StackState | undefined, options: StackOptions): StackState | undefined {
  if (!state) return undefined;
  const alive = COMPONENTS.filter((component) => {
    const server = state.processes[component];
    return server !== undefined && isAlive(server);
  });
  if (alive.length === 0) return undefined;
  if (
    !state.keep &&
    state.owner.pid !== process.pid &&
    isAlive(state.owner) &&
    alive.length < COMPONENTS.length
  ) {
    const owner = String(state.owner.pid);
    throw new HeadwaterError(
      'unavailable',
      `Process ${owner} is starting or ending the servers; try again when it is done.`,
    );
  }
  const processes = Object.fromEntries(alive.map((component) => [component, state.processes[component]]));
  const keep = state.keep || options.keep === true;
  const owner = keep || isAlive(state.owner) ? state.owner : thisProcess();
  options.report(`Using the servers that run already (${alive.join(', ')}).`);
  return { ...state, keep, owner, processes };
}
