import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { HeadwaterError } from '../../base/errors.ts';
import type { Account } from './account.ts';

/** A running server. The identity (its start time) distinguishes it from a later process with the same id. */
export interface ServerProcess {
  readonly pid: number;
  readonly identity: string;
}

export interface ServerCommand {
  readonly file: string;
  readonly parameters: readonly string[];
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly log: string;
  readonly account: Account | undefined;
}

/** Start time of a live process, as text to compare; undefined if the process does not run. */
export function identityOf(pid: number): string | undefined {
  if (process.platform !== 'linux') {
    const result = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
    return result.status === 0 && result.stdout.trim() !== '' ? result.stdout.trim() : undefined;
  }
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    // The name is in brackets and may hold any character. After it follow the state (field 3) and the start time (field 22).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return `${fields[19] ?? ''} ${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}`;
  } catch {
    return undefined;
  }
}

export function isAlive(server: ServerProcess): boolean {
  return identityOf(server.pid) === server.identity;
}

/** Starts a server in a new session, so that Ctrl-C reaches only the parent. */
export async function startServer(command: ServerCommand): Promise<ServerProcess> {
  if (existsSync(command.log)) renameSync(command.log, `${command.log}.1`);
  const log = openSync(command.log, 'a');
  try {
    const child = spawn(command.file, command.parameters, {
      cwd: command.cwd,
      env: command.env,
      detached: true,
      stdio: ['ignore', log, log],
      ...(command.account && { uid: command.account.uid, gid: command.account.gid }),
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve).once('error', reject);
    });
    child.unref();
    const pid = child.pid ?? 0;
    return { pid, identity: identityOf(pid) ?? 'ended at once' };
  } finally {
    closeSync(log);
  }
}

/** Sends the signal and waits until the process is gone; SIGKILL after the grace. */
export async function endServer(
  server: ServerProcess,
  signal: NodeJS.Signals,
  graceMs = 20_000,
): Promise<void> {
  if (!isAlive(server)) return;
  send(server, signal);
  const deadline = performance.now() + graceMs;
  while (isAlive(server)) {
    if (performance.now() > deadline) send(server, 'SIGKILL');
    if (performance.now() > deadline + 10_000) {
      throw new HeadwaterError('internal', `process ${String(server.pid)} does not end`);
    }
    await delay(20);
  }
}

/** Sends the signal and does not wait, for exit handlers. */
export function send(server: ServerProcess, signal: NodeJS.Signals): void {
  if (!isAlive(server)) return;
  try {
    process.kill(server.pid, signal);
  } catch {
    // it has ended meanwhile
  }
}

/** The last lines of a log, for the message about a server that did not start. */
export function lastLines(log: string, count = 4): string {
  try {
    return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-count).join(' | ').slice(-800);
  } catch {
    return '';
  }
}

/** Only these variables reach a server: JAVA_OPTS or QUARKUS_* of the shell must not change it. */
export function plainEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept = ['PATH', 'HOME', 'LANG', 'TZ', 'LD_LIBRARY_PATH'];
  return Object.fromEntries(kept.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}
