import type { ServerCommand } from './server-process.ts';

/** One of the three servers as a local process. */
export interface Server {
  /** Name and version for messages: `Kafka 4.2.0`. */
  readonly title: string;
  /** One line about why the server cannot use its data, or undefined. Changes nothing. */
  obstacle(): string | undefined;
  /** Makes its data folder and files, if they are missing. */
  prepare(signal: AbortSignal): Promise<void>;
  command(): ServerCommand;
  /** Called after its first answer. */
  afterStart(): Promise<void>;
}

/** Options that all servers share. */
export interface ServerOptions {
  /** The stack's folder: data, logs and state. */
  readonly folder: string;
  readonly purpose: 'people' | 'tests';
  readonly env: NodeJS.ProcessEnv;
}
