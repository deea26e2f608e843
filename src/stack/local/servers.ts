import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { HeadwaterError } from '../../base/errors.ts';
import type { Component, StackAddresses } from '../contract.ts';
import { busyPortsLine, type PortName, type StackPorts } from '../ports.ts';
import { postgresAccount } from './account.ts';
import { findJava } from './java.ts';
import { KafkaServer } from './kafka.ts';
import { findPostgres } from './postgres-binaries.ts';
import { localPostgresUrl, PostgresServer } from './postgres.ts';
import { RegistryServer, registryVersion } from './registry.ts';
import type { Server, ServerOptions } from './server.ts';
import {
  kafkaTool,
  missingForDownload,
  REGISTRY_MODERN_JAVA,
  registryTool,
  toolFolder,
  type Tool,
} from './tools.ts';

/** The three servers of one stack, and the tools to download before they start. */
export interface Servers {
  readonly servers: Readonly<Record<Component, Server>>;
  readonly tools: readonly Tool[];
}

export interface ServersOptions extends ServerOptions {
  /** The project's `.headwater`. */
  readonly directory: string;
  readonly ports: StackPorts;
}

export function localAddresses(ports: StackPorts): StackAddresses {
  return {
    postgresUrl: localPostgresUrl(ports.postgres),
    kafkaBrokers: [`127.0.0.1:${String(ports.kafka)}`],
    registryUrl: `http://127.0.0.1:${String(ports.registry)}/apis/ccompat/v7`,
  };
}

/** Finds the programs on this machine. Throws one line about the first missing program. Changes nothing. */
export async function findServers(options: ServersOptions): Promise<Servers> {
  const { directory, folder, purpose, env, ports } = options;
  const java = await findJava(env, REGISTRY_MODERN_JAVA);
  const version = registryVersion(folder, java);
  const registry = registryTool(version);
  const common = { folder, purpose, env };
  const servers = {
    postgres: new PostgresServer({
      ...common,
      port: ports.postgres,
      binaries: findPostgres(),
      account: postgresAccount(),
      elsewhere: elsewhere(folder),
    }),
    kafka: new KafkaServer({
      ...common,
      port: ports.kafka,
      controllerPort: ports.controller,
      java,
      jars: toolFolder(directory, kafkaTool),
    }),
    registry: new RegistryServer({
      ...common,
      port: ports.registry,
      java,
      version,
      program: toolFolder(directory, registry),
    }),
  };
  return { servers, tools: [kafkaTool, registry] };
}

/** Folder of PostgreSQL if root runs the stack and PostgreSQL's user cannot enter the checkout. */
export function elsewhere(folder: string): string {
  return join('/var/tmp', `headwater-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`);
}

const PORTS_OF: Record<Component, readonly PortName[]> = {
  postgres: ['postgres'],
  kafka: ['kafka', 'controller'],
  registry: ['registry'],
};

/** Throws one line about the first obstacle to the start of these servers. Changes nothing. */
export async function checkObstacles(
  found: Servers,
  missing: readonly Component[],
  options: ServersOptions,
): Promise<void> {
  const line =
    missing
      .map((component) => found.servers[component].obstacle())
      .find((obstacle) => obstacle !== undefined) ??
    missingForDownload(options.directory, found.tools, options.env) ??
    (await busyPortsLine(
      options.ports,
      missing.flatMap((component) => PORTS_OF[component]),
    ));
  if (line !== undefined) throw new HeadwaterError('bad-config', line);
}
