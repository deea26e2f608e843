import { join } from 'node:path';
import type { StackPorts } from './ports.ts';

/** Addresses of the three servers. `registryUrl` ends in `/apis/ccompat/v7`. */
export interface StackAddresses {
  readonly postgresUrl: string;
  readonly kafkaBrokers: readonly string[];
  readonly registryUrl: string;
}

export type Component = 'postgres' | 'kafka' | 'registry';
export const COMPONENTS: readonly Component[] = ['postgres', 'kafka', 'registry'];

export type StackKind = 'environment' | 'docker' | 'local';

/** The running servers that Headwater needs. The caller that started them stops them. */
export interface Stack {
  readonly kind: StackKind;
  readonly addresses: StackAddresses;
  /** Ends every server that this call of `startStack` started or took over. Servers that were left running stay. */
  stop(): Promise<void>;
  /** For fault tests: ends one server (politely or with SIGKILL) and starts it again on the same port and data. */
  restart(component: Component, how: 'term' | 'kill'): Promise<void>;
  /** Process ids of local servers, to account for their CPU and memory. Empty for the other kinds. */
  pids(): Promise<Partial<Record<Component, number>>>;
}

export interface StackOptions {
  /** Folder for all downloads, data, logs and state; the project's `.headwater` by default. */
  readonly directory?: string;
  /** People: fixed ports, data kept, fsync on. Tests: free ports, a new folder that `stop` removes. */
  readonly purpose: 'people' | 'tests';
  readonly ports?: Partial<StackPorts>;
  /** Leave the servers running when this process ends (people only). */
  readonly keep?: boolean;
  /**
   * Ends a running start; after that the caller stops the stack. Without this signal, the stack listens to SIGINT, SIGTERM
   * and SIGHUP itself, stops, and lets the signal end the process.
   */
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
  report(line: string): void;
}

/** The project's `.headwater`. It does not depend on the working directory. */
export const headwaterDirectory = join(import.meta.dirname, '..', '..', '.headwater');
