import type { ServerCommand } from './server-process.ts';

/** One of the three servers as a local process. */
export interface Server {
  /** As people read it: `Kafka 4.2.0`. */
  readonly title: string;
  /** One line about why its data cannot be used, or undefined. Changes nothing. */
  obstacle(): string | undefined;
  /** Makes its data folder and files; does nothing that has been done. */
  prepare(signal: AbortSignal): Promise<void>;
  command(): ServerCommand;
  /** After it answers for the first time. */
  afterStart(): Promise<void>;
}

/** What every server is built from. */
export interface ServerOptions {
  /** The stack's folder: data, logs and state. */
  readonly folder: string;
  readonly purpose: 'people' | 'tests';
  readonly env: NodeJS.ProcessEnv;
}
