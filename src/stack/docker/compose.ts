import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HeadwaterError } from '../../base/errors.ts';
import type { Component, Stack, StackAddresses, StackOptions } from '../contract.ts';
import { Interruption } from '../interruption.ts';
import { portsForPeople, type StackPorts } from '../ports.ts';
import { probesOf, waitForAddresses, waitUntilReady } from '../ready.ts';

const run = promisify(execFile);

export const composeFile = join(import.meta.dirname, '..', '..', '..', 'compose', 'compose.yaml');

const MINUTE_MS = 60_000;

/** Returns why `docker compose` cannot be used on this machine, or undefined if it can. */
export async function composeAnswers(): Promise<string | undefined> {
  try {
    await run('docker', ['compose', 'version'], { timeout: 10_000 });
  } catch {
    return 'docker compose is not installed';
  }
  try {
    await run('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: 10_000 });
  } catch {
    return 'the Docker engine does not answer';
  }
  return undefined;
}

export function composeAddresses(ports: StackPorts): StackAddresses {
  return {
    postgresUrl: `postgresql://headwater:headwater@127.0.0.1:${String(ports.postgres)}/headwater`,
    kafkaBrokers: [`127.0.0.1:${String(ports.kafka)}`],
    registryUrl: `http://127.0.0.1:${String(ports.registry)}/apis/ccompat/v7`,
  };
}

/** The variables that compose.yaml reads the ports from. */
export function composeEnvironment(ports: StackPorts, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return {
    ...env,
    HEADWATER_STACK_POSTGRES_PORT: String(ports.postgres),
    HEADWATER_STACK_KAFKA_PORT: String(ports.kafka),
    HEADWATER_STACK_REGISTRY_PORT: String(ports.registry),
  };
}

/** Runs the servers of compose/compose.yaml. Their data lies in named volumes; `stop` keeps it. */
export async function startComposeStack(options: StackOptions): Promise<Stack> {
  const env = options.env ?? process.env;
  const ports = portsForPeople(env, options.ports);
  const compose = composeRunner(composeEnvironment(ports, env));
  const addresses = composeAddresses(ports);
  const ran = (await runningServices(compose)).length > 0;
  const interruption = new Interruption(options);
  const stop = async (): Promise<void> => {
    if (!ran && options.keep !== true) await compose(['stop']);
    interruption.ended();
  };
  try {
    options.report(
      ran ? 'Using the containers that run already.' : 'Starting the servers with docker compose …',
    );
    await compose(['up', '--detach', '--wait', '--quiet-pull', ...SERVICES]);
    await waitForAddresses(addresses, AbortSignal.any([interruption.signal, AbortSignal.timeout(MINUTE_MS)]));
  } catch (error) {
    if (!ran) await compose(['stop']).catch(() => undefined);
    interruption.ended();
    throw error;
  }
  interruption.started(stop);
  return {
    kind: 'docker',
    addresses,
    stop,
    restart: async (component, how) => {
      await compose(how === 'kill' ? ['kill', component] : ['stop', component]);
      await compose(['up', '--detach', '--wait', component]);
      await waitUntilReady(component, probesOf(addresses)[component], AbortSignal.timeout(MINUTE_MS));
    },
    pids: () => Promise.resolve({}),
  };
}

const SERVICES: readonly Component[] = ['postgres', 'kafka', 'registry'];

type Compose = (parameters: readonly string[]) => Promise<string>;

export function composeRunner(env: NodeJS.ProcessEnv): Compose {
  return async (parameters) => {
    try {
      const options = { env, timeout: 15 * MINUTE_MS, maxBuffer: 16 * 1024 * 1024 };
      return (await run('docker', ['compose', '--file', composeFile, ...parameters], options)).stdout;
    } catch (error) {
      const text = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
      const lines = text.trim().split('\n').slice(-3).join(' ');
      throw new HeadwaterError('unavailable', `docker compose ${parameters[0] ?? ''}: ${lines}`, {
        cause: error,
      });
    }
  };
}

export async function runningServices(compose: Compose): Promise<string[]> {
  const names = await compose(['ps', '--services', '--filter', 'status=running']);
  return names.split('\n').filter((name) => name !== '');
}
