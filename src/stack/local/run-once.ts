import { spawn, type SpawnOptions } from 'node:child_process';
import { HeadwaterError } from '../../base/errors.ts';
import type { Account } from './account.ts';
import { plainEnvironment } from './server-process.ts';

export interface RunOnceOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly cwd?: string;
  readonly account?: Account | undefined;
  /** First words of the error message: `initdb failed`. */
  readonly failure: string;
}

/** Runs a program to its end. If the signal ends it, waits until the process is gone, so that nothing writes after that. */
export async function runOnce(
  file: string,
  parameters: readonly string[],
  options: RunOnceOptions,
): Promise<void> {
  const { env, signal, cwd, account, failure } = options;
  const settings: SpawnOptions = {
    env: plainEnvironment(env),
    stdio: ['ignore', 'ignore', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
    ...(cwd !== undefined && { cwd }),
    ...(account && { uid: account.uid, gid: account.gid }),
  };
  const child = spawn(file, parameters, settings);
  let text = '';
  let problem: unknown;
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  child.once('error', (error) => (problem = error));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (problem instanceof Error) throw problem;
  if (code !== 0) throw new HeadwaterError('internal', `${failure}: ${text.trim().slice(0, 600)}`);
}
