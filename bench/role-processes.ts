import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endServer, identityOf, lastLines, send } from '../src/stack/local/server-process.ts';
import type { ServerProcess } from '../src/stack/local/server-process.ts';

const HEADWATER = join(import.meta.dirname, '..', 'src', 'main', 'headwater.ts');

export interface RoleProcessesOptions {
  /** Takes the logs and the list of what runs. */
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Headwater's roles as processes of their own. Invariant: `running.json` names every one of them, so that the next benchmark
 * ends what a killed one left.
 */
export class RoleProcesses {
  /** Of those started from now on. */
  env: NodeJS.ProcessEnv;
  readonly #directory: string;
  readonly #running = new Map<string, ServerProcess>();
  readonly #failed = new AbortController();

  constructor({ directory, env }: RoleProcessesOptions) {
    this.#directory = directory;
    this.env = env;
    mkdirSync(directory, { recursive: true });
    process.on('exit', () => {
      for (const server of this.#running.values()) send(server, 'SIGKILL');
    });
  }

  /** Fires when a process ends unexpectedly. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  get pids(): ReadonlyMap<string, number> {
    return new Map([...this.#running].map(([name, { pid }]) => [name, pid]));
  }

  /** @param name of the process: its roles, such as `projector,janitor`, and a number if there are several of them: `worker 2` */
  start(name: string, nodeOptions: readonly string[] = []): void {
    const log = openSync(this.#log(name), 'w');
    try {
      const parameters = [...nodeOptions, HEADWATER, 'serve', '--roles', name.replace(/ \d+$/, '')];
      // In a session of its own: a Ctrl-C is for the benchmark, which ends its processes in order.
      const stdio = ['ignore', log, log] as const;
      const child = spawn(process.execPath, parameters, {
        env: this.env,
        detached: true,
        stdio: [...stdio],
      });
      child.once('error', (error) => this.#failed.abort(error));
      const pid = child.pid ?? 0;
      child.once('exit', (code, signal) => {
        if (this.#running.get(name)?.pid !== pid) return; // this class ended it
        this.#running.delete(name);
        const why = `${name} ended (${signal ?? `exit code ${code}`}): ${lastLines(this.#log(name))}`;
        this.#failed.abort(new Error(why));
      });
      this.#running.set(name, { pid, identity: identityOf(pid) ?? 'ended at once' });
      this.#save();
    } finally {
      closeSync(log);
    }
  }

  async endAll(): Promise<void> {
    const ended = [...this.#running.values()];
    this.#running.clear();
    await Promise.all(ended.map((server) => endServer(server, 'SIGTERM')));
    this.#save();
  }

  /** The first line of a role's log that fits, waiting for it. */
  async logLine(name: string, fits: (line: LogLine) => boolean, signal: AbortSignal): Promise<LogLine> {
    for (;;) {
      const found = linesOf(readFileSync(this.#log(name), 'utf8')).find(fits);
      if (found) return found;
      await delay(100, undefined, { signal });
    }
  }

  #log(name: string): string {
    return join(this.#directory, `${name.replaceAll(/[, ]/g, '-')}.log`);
  }

  #save(): void {
    writeFileSync(listIn(this.#directory), JSON.stringify([...this.#running.values()]));
  }
}

/** As pino writes it. */
export interface LogLine {
  /** ms since 1970. */
  readonly time: number;
  readonly msg: string;
  readonly resources?: number;
  readonly bytes?: number;
}

function linesOf(log: string): LogLine[] {
  return log.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line) as LogLine];
    } catch {
      return []; // no log line, or the last one, half written
    }
  });
}

/** Ends the processes of a killed benchmark. */
export async function endLeftRoles(directory: string): Promise<void> {
  let left: ServerProcess[] = [];
  try {
    left = JSON.parse(readFileSync(listIn(directory), 'utf8')) as ServerProcess[];
  } catch {
    return; // nothing was left
  }
  await Promise.all(left.map((server) => endServer(server, 'SIGKILL')));
  rmSync(listIn(directory), { force: true });
}

function listIn(directory: string): string {
  return join(directory, 'running.json');
}
