import { COMPONENTS, type Component } from '../contract.ts';
import { endServer, isAlive, send, type ServerProcess } from './server-process.ts';
import { thisProcess, writeState, type StackState } from './stack-state.ts';

/**
 * The server processes of one stack. After every start and end, `stack.json` in the stack's folder names them, so the next
 * start (or `stack down`) finds the servers of a process that was killed.
 */
export class RunningServers {
  readonly #folder: string;
  readonly #state: StackState;

  constructor(folder: string, state: StackState) {
    this.#folder = folder;
    this.#state = state;
  }

  get ports(): StackState['ports'] {
    return this.#state.ports;
  }

  /** Whether the servers end with this process: `stack up` did not keep them, and no other process owns them. */
  get endWithThisProcess(): boolean {
    return !this.#state.keep && this.#state.owner.pid === process.pid;
  }

  /** The recorded process of a server. It may have ended since. */
  processOf(component: Component): ServerProcess | undefined {
    return this.#state.processes[component];
  }

  record(component: Component, server: ServerProcess): void {
    this.#state.processes[component] = server;
    this.save();
  }

  save(): void {
    writeState(this.#folder, this.#state);
  }

  /** Ends the servers and waits until they are gone. `save` stores the result. */
  async end(
    components: readonly Component[],
    signalFor: (component: Component) => NodeJS.Signals,
  ): Promise<void> {
    await Promise.all(
      components.map(async (component) => {
        const server = this.processOf(component);
        if (server) await endServer(server, signalFor(component));
        this.#state.processes[component] = undefined;
      }),
    );
  }

  /** Sends the signal and does not wait. */
  send(component: Component, signal: NodeJS.Signals): void {
    const server = this.processOf(component);
    if (server) send(server, signal);
  }

  pids(): Partial<Record<Component, number>> {
    return Object.fromEntries(
      aliveComponents(this.#state).map((component) => [component, this.processOf(component)?.pid]),
    );
  }
}

export function aliveComponents({ processes }: StackState): Component[] {
  return COMPONENTS.filter((component) => {
    const server = processes[component];
    return server !== undefined && isAlive(server);
  });
}

/** PostgreSQL's SIGINT is its fast shutdown; its SIGTERM would wait for every client to leave. */
export function stopSignal(component: Component): NodeJS.Signals {
  return component === 'postgres' ? 'SIGINT' : 'SIGTERM';
}

/** The state of a stack none of whose servers runs yet. */
export function newState(ports: StackState['ports'], keep: boolean): StackState {
  return { keep, owner: thisProcess(), ports, processes: {} };
}
