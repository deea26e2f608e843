import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { HeadwaterError } from '../../base/errors.ts';
import {
  COMPONENTS,
  headwaterDirectory,
  type Component,
  type Stack,
  type StackOptions,
} from '../contract.ts';
import { Interruption } from '../interruption.ts';
import { freePorts, portsForPeople } from '../ports.ts';
import { adopt } from './adopt.ts';
import { newState, RunningServers, stopSignal } from './running-servers.ts';
import { localAddresses, type ServersOptions } from './servers.ts';
import { readState, withLock, type StackState } from './stack-state.ts';
import { StartServers } from './start-servers.ts';
import { removeStackFolder, sweepTestStacks } from './test-stacks.ts';

/** The folder of the stack for people, under `.headwater`. */
export function peopleFolder(directory: string): string {
  return join(directory, 'stack');
}

/** Runs the servers as processes of this machine. A stack of people takes over the servers that it finds running. */
export async function startLocalStack(options: StackOptions): Promise<Stack> {
  const interruption = new Interruption(options);
  try {
    const stack =
      options.purpose === 'tests'
        ? await startForTests(options, interruption)
        : await startForPeople(options, interruption);
    interruption.started(() => stack.stop());
    return stack;
  } catch (error) {
    interruption.ended();
    throw error;
  }
}

async function startForTests(options: StackOptions, interruption: Interruption): Promise<LocalStack> {
  const { directory = headwaterDirectory } = options;
  await sweepTestStacks(directory);
  const folder = join(directory, `test-stack-${randomBytes(4).toString('hex')}`);
  const state = newState(await freePorts(options.ports), false);
  return startIn(folder, state, options, interruption);
}

async function startForPeople(options: StackOptions, interruption: Interruption): Promise<LocalStack> {
  const { directory = headwaterDirectory, env = process.env, keep = false } = options;
  const folder = peopleFolder(directory);
  return withLock(folder, interruption.signal, async () => {
    const before = readState(folder);
    const adopted = before && adopt(before, keep);
    if (adopted) {
      const found = COMPONENTS.filter((component) => adopted.processes[component] !== undefined);
      options.report(`Using the servers that run already (${found.join(', ')}).`);
    }
    const state = adopted ?? newState(portsForPeople(env, options.ports), keep);
    return startIn(folder, state, options, interruption);
  });
}

async function startIn(
  folder: string,
  state: StackState,
  options: StackOptions,
  interruption: Interruption,
): Promise<LocalStack> {
  const { directory = headwaterDirectory, env = process.env, purpose } = options;
  const running = new RunningServers(folder, state);
  const place = { directory, folder, purpose, env, ports: state.ports };
  const report = options.report.bind(options);
  const start = new StartServers(place, running, report, interruption.signal);
  const stack = new LocalStack(place, running, start, interruption);
  await stack.start();
  return stack;
}

class LocalStack implements Stack {
  readonly kind = 'local';
  readonly addresses: Stack['addresses'];
  readonly #folder: string;
  readonly #purpose: StackOptions['purpose'];
  readonly #running: RunningServers;
  readonly #start: StartServers;
  readonly #interruption: Interruption;
  /** `stop` ends these servers. */
  readonly #own = new Set<Component>();
  #stopped: Promise<void> | undefined;
  /** Restarts run one after the other. */
  #restarting: Promise<void> = Promise.resolve();
  readonly #onExit = (): void => {
    for (const component of this.#own)
      this.#running.send(component, this.#purpose === 'tests' ? 'SIGKILL' : 'SIGTERM');
  };

  constructor(
    place: ServersOptions,
    running: RunningServers,
    start: StartServers,
    interruption: Interruption,
  ) {
    this.#folder = place.folder;
    this.#purpose = place.purpose;
    this.#running = running;
    this.#start = start;
    this.#interruption = interruption;
    this.addresses = localAddresses(place.ports);
  }

  /** Starts the servers that do not run. If that fails, ends the servers that it started. */
  async start(): Promise<void> {
    const missing = COMPONENTS.filter((component) => this.#running.processOf(component) === undefined);
    if (this.#running.endWithThisProcess) for (const component of COMPONENTS) this.#own.add(component);
    process.on('exit', this.#onExit);
    try {
      await this.#start.start(missing);
    } catch (error) {
      this.#own.clear();
      for (const component of missing) if (this.#running.processOf(component)) this.#own.add(component);
      await this.#end();
      throw this.#interruption.signal.aborted ? this.#interruption.signal.reason : error;
    }
  }

  stop(): Promise<void> {
    // Meanwhile, `stack up` may have decided to leave the servers running.
    if (this.#purpose === 'people' && readState(this.#folder)?.keep === true) this.#own.clear();
    this.#stopped ??= this.#end();
    return this.#stopped;
  }

  async #end(): Promise<void> {
    await this.#restarting.catch(() => undefined); // a restart must not start a server after this
    const own = [...this.#own];
    await this.#running.end(own, this.#purpose === 'tests' ? () => 'SIGKILL' : stopSignal);
    this.#own.clear();
    if (this.#purpose === 'tests') removeStackFolder(this.#folder);
    else if (own.length > 0) this.#running.save();
    process.off('exit', this.#onExit);
    this.#interruption.ended();
  }

  restart(component: Component, how: 'term' | 'kill'): Promise<void> {
    this.#restarting = this.#restarting
      .catch(() => undefined)
      .then(async () => {
        if (this.#stopped) throw new HeadwaterError('unavailable', 'the stack is stopped');
        await this.#start.restart(component, how === 'kill' ? 'SIGKILL' : stopSignal(component));
      });
    return this.#restarting;
  }

  pids(): Promise<Partial<Record<Component, number>>> {
    return Promise.resolve(this.#running.pids());
  }
}
