import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../base/errors.ts';
import {
  COMPONENTS,
  headwaterDirectory,
  type Component,
  type StackAddresses,
  type StackKind,
} from './contract.ts';
import {
  composeAddresses,
  composeAnswers,
  composeEnvironment,
  composeRunner,
  runningServices,
} from './docker/compose.ts';
import { addressesFromEnvironment } from './environment.ts';
import { peopleFolder } from './local/local-stack.ts';
import { aliveComponents, stopSignal } from './local/running-servers.ts';
import { endServer, isAlive } from './local/server-process.ts';
import { localAddresses } from './local/servers.ts';
import { readState, thisProcess, withLock, writeState, type StackState } from './local/stack-state.ts';
import { removeStackFolder } from './local/test-stacks.ts';
import { portsForPeople } from './ports.ts';
import { probesOf } from './ready.ts';
import { forcedKind, startStack } from './stack.ts';

export interface StackCommandOptions {
  readonly directory?: string;
  readonly env?: NodeJS.ProcessEnv;
  report(line: string): void;
}

export interface ComponentStatus {
  readonly component: Component;
  readonly state: 'ready' | 'not ready' | 'stopped';
  readonly address: string;
  readonly pid?: number;
  readonly residentBytes?: number;
  /** Why it is not ready. */
  readonly reason?: string;
  readonly log?: string;
}

export interface StackStatus {
  /** undefined if no server runs. */
  readonly kind: StackKind | undefined;
  readonly ready: boolean;
  /** The event that ends the servers. `stack down` always ends them. */
  readonly until: 'stack down' | `process ${number} ends` | undefined;
  /** Passwords in addresses from the environment are hidden. */
  readonly addresses: StackAddresses;
  readonly components: readonly ComponentStatus[];
}

/** Output of a command: data for --json, text for people. */
export interface CommandResult<T> {
  readonly data: T;
  readonly text: string;
}

/** Starts the servers that do not run, and leaves all running. */
export async function stackUp(options: StackCommandOptions): Promise<CommandResult<StackStatus>> {
  const { directory = headwaterDirectory, env = process.env } = options;
  const report = options.report.bind(options);
  await startStack({ directory, purpose: 'people', keep: true, env, report });
  return stackStatus(options);
}

export interface DownOptions extends StackCommandOptions {
  /** Also delete the databases, topics and schemas. */
  readonly deleteData?: boolean;
}

/** Ends every server that `stack up` or a killed process left running. */
export async function stackDown(
  options: DownOptions,
): Promise<CommandResult<{ ended: Component[]; dataDeleted: boolean }>> {
  const { directory = headwaterDirectory, env = process.env, deleteData = false } = options;
  const ended = new Set(await endLocal(directory, deleteData));
  if (forcedKind(env) !== 'local' && (await composeAnswers()) === undefined) {
    const compose = composeRunner(composeEnvironment(portsForPeople(env), env));
    const running = await runningServices(compose);
    for (const component of COMPONENTS) if (running.includes(component)) ended.add(component);
    await compose(deleteData ? ['down', '--volumes'] : ['down']);
  }
  const list = [...ended];
  const what = list.length === 0 ? 'Nothing was running.' : `Ended ${list.join(', ')}.`;
  const text = deleteData ? `${what} Their data is deleted.` : what;
  return { data: { ended: list, dataDeleted: deleteData }, text };
}

async function endLocal(directory: string, deleteData: boolean): Promise<Component[]> {
  const folder = peopleFolder(directory);
  if (!readState(folder) && !deleteData) return [];
  return withLock(folder, AbortSignal.timeout(180_000), async () => {
    const state = readState(folder); // missing after an earlier `stack down`, which may have kept the data
    const alive = state ? aliveComponents(state) : [];
    await Promise.all(
      alive.map(async (component) => {
        const server = state?.processes[component];
        if (server) await endServer(server, stopSignal(component));
      }),
    );
    if (state) writeState(folder, { ...state, keep: false, owner: thisProcess(), processes: {} });
    if (deleteData) removeStackFolder(folder);
    else rmSync(join(folder, 'stack.json'), { force: true });
    return alive;
  });
}

/** Changes nothing. */
export async function stackStatus(
  options: Partial<StackCommandOptions> = {},
): Promise<CommandResult<StackStatus>> {
  const { directory = headwaterDirectory, env = process.env } = options;
  const data = await statusOf(directory, env);
  return { data, text: renderStatus(data) };
}

async function statusOf(directory: string, env: NodeJS.ProcessEnv): Promise<StackStatus> {
  const forced = forcedKind(env);
  const given =
    forced === undefined || forced === 'environment' ? addressesFromEnvironment('people', env) : undefined;
  if (given) {
    const shown = {
      ...given,
      postgresUrl: withoutPassword(given.postgresUrl),
      registryUrl: withoutPassword(given.registryUrl),
    };
    return summary('environment', undefined, shown, await components(given, () => ({})));
  }
  const state = readState(peopleFolder(directory));
  if (state && aliveComponents(state).length > 0) {
    const addresses = localAddresses(state.ports);
    const found = await components(addresses, (component) => localFields(directory, state, component));
    return summary('local', untilOf(state), addresses, found);
  }
  const ports = portsForPeople(env);
  const addresses = composeAddresses(ports);
  const docker = forced !== 'local' && (await composeAnswers()) === undefined;
  const running = docker ? await runningServices(composeRunner(composeEnvironment(ports, env))) : [];
  if (running.length === 0) return summary(undefined, undefined, addresses, stoppedComponents(addresses));
  const found = await components(addresses, (component) =>
    running.includes(component) ? {} : { stopped: true },
  );
  return summary('docker', 'stack down', addresses, found);
}

/** The servers of a killed process keep running until the next start takes them over. */
function untilOf(state: StackState): StackStatus['until'] {
  return state.keep || !isAlive(state.owner) ? 'stack down' : `process ${state.owner.pid} ends`;
}

function summary(
  kind: StackKind | undefined,
  until: StackStatus['until'],
  addresses: StackAddresses,
  found: readonly ComponentStatus[],
): StackStatus {
  return { kind, ready: found.every(({ state }) => state === 'ready'), until, addresses, components: found };
}

function stoppedComponents(addresses: StackAddresses): ComponentStatus[] {
  return COMPONENTS.map((component) => ({
    component,
    state: 'stopped',
    address: addressOf(addresses, component),
  }));
}

type Fields = Partial<ComponentStatus> & { readonly stopped?: boolean };

async function components(
  addresses: StackAddresses,
  fields: (component: Component) => Fields,
): Promise<ComponentStatus[]> {
  const probes = probesOf(addresses);
  return Promise.all(
    COMPONENTS.map(async (component): Promise<ComponentStatus> => {
      const { stopped = false, ...known } = fields(component);
      const base = { component, address: addressOf(addresses, component), ...known };
      if (stopped) return { ...base, state: 'stopped' };
      try {
        await probes[component]();
        return { ...base, state: 'ready' };
      } catch (error) {
        return { ...base, state: 'not ready', reason: messageOf(error) };
      }
    }),
  );
}

function localFields(directory: string, state: StackState, component: Component): Fields {
  const log = join(peopleFolder(directory), 'logs', `${component}.log`);
  const server = aliveProcess(state, component);
  if (!server) return { stopped: true, log };
  const residentBytes = residentBytesOf(server.pid);
  return { pid: server.pid, log, ...(residentBytes !== undefined && { residentBytes }) };
}

function aliveProcess(state: StackState, component: Component) {
  const server = state.processes[component];
  return server && isAlive(server) ? server : undefined;
}

function residentBytesOf(pid: number): number | undefined {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined; // not Linux, or the process has ended
  }
}

function addressOf(addresses: StackAddresses, component: Component): string {
  if (component === 'kafka') return addresses.kafkaBrokers.join(',');
  return component === 'postgres'
    ? withoutPassword(addresses.postgresUrl)
    : withoutPassword(addresses.registryUrl);
}

function withoutPassword(text: string): string {
  const url = new URL(text);
  if (url.password !== '') url.password = '***';
  return url.href;
}

/** One line per server, then a line about the event that ends them. */
export function renderStatus(status: StackStatus): string {
  if (status.kind === undefined) return 'Nothing is running. "headwater stack up" starts it.';
  const lines = status.components.map(({ component, state, address, pid, residentBytes, reason }) => {
    const facts = [
      ...(pid === undefined ? [] : [`process ${String(pid)}`]),
      ...(residentBytes === undefined ? [] : [`${String(Math.round(residentBytes / 1_048_576))} MiB`]),
      ...(reason === undefined ? [] : [reason]),
    ];
    return `${component.padEnd(9)} ${state.padEnd(10)} ${address}${facts.length === 0 ? '' : `  (${facts.join(', ')})`}`;
  });
  const how = {
    environment: 'servers given by their addresses',
    docker: 'containers',
    local: 'local processes',
  };
  const end = status.until === undefined ? '' : `, running until ${status.until}`;
  return [...lines, `${how[status.kind]}${end}`].join('\n');
}
