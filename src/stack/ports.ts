import { randomInt } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { HeadwaterError } from '../base/errors.ts';

export interface StackPorts {
  readonly postgres: number;
  readonly kafka: number;
  readonly controller: number;
  readonly registry: number;
}

export type PortName = keyof StackPorts;
export const PORT_NAMES: readonly PortName[] = ['postgres', 'kafka', 'controller', 'registry'];

/** The default ports of a stack for people. */
export const DEFAULT_PORTS: StackPorts = { postgres: 5455, kafka: 9055, controller: 9056, registry: 8055 };

export function portSetting(name: PortName): string {
  return `HEADWATER_STACK_${name === 'controller' ? 'KAFKA_CONTROLLER' : name.toUpperCase()}_PORT`;
}

/** Fixed ports for people: the given ports, else those of the environment, else the defaults. */
export function portsForPeople(env: NodeJS.ProcessEnv, given: Partial<StackPorts> = {}): StackPorts {
  const port = (name: PortName): number => given[name] ?? parsePort(name, env[portSetting(name)]);
  return {
    postgres: port('postgres'),
    kafka: port('kafka'),
    controller: port('controller'),
    registry: port('registry'),
  };
}

function parsePort(name: PortName, text: string | undefined): number {
  if (text === undefined || text === '') return DEFAULT_PORTS[name];
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) {
    throw new HeadwaterError('bad-config', `${portSetting(name)} is "${text}": use a port from 1 to 65535`);
  }
  return port;
}

/**
 * Free ports for a test stack. They lie below the range of ports for outgoing connections, so that no connection can take
 * a server's port while a fault test has stopped that server.
 */
export async function freePorts(given: Partial<StackPorts> = {}): Promise<StackPorts> {
  const taken = new Set<number>(Object.values(given));
  const port = async (name: PortName): Promise<number> => given[name] ?? (await freePort(taken));
  return {
    postgres: await port('postgres'),
    kafka: await port('kafka'),
    controller: await port('controller'),
    registry: await port('registry'),
  };
}

export async function freePort(taken = new Set<number>()): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(20_000, 32_000);
    if (taken.has(port) || !(await canListen(port))) continue;
    taken.add(port);
    return port;
  }
  throw new HeadwaterError('unavailable', 'no free port was found between 20000 and 32000');
}

/** One line that names every port already in use and the setting that moves it, or undefined. */
export async function busyPortsLine(
  ports: StackPorts,
  names: readonly PortName[],
): Promise<string | undefined> {
  const busy: PortName[] = [];
  for (const name of names) if (!(await canListen(ports[name]))) busy.push(name);
  if (busy.length === 0) return undefined;
  const list = busy.map((name) => `${String(ports[name])} (${name}, ${portSetting(name)})`).join(', ');
  return `In use by another program: port ${list}. End that program or set another port.`;
}

export async function canListen(port: number): Promise<boolean> {
  // A server listening on every address does not stop another one from listening on 127.0.0.1, so ask it first.
  if (await answers(port)) return false;
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(false);
    });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () =>
      server.close(() => {
        resolve(true);
      }),
    );
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const end = (answer: boolean) => () => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, end(false));
    socket.once('connect', end(true)).once('error', end(false));
  });
}
