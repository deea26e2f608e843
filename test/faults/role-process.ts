import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { until } from '../support/until.ts';

const ENTRY = join(import.meta.dirname, '..', '..', 'src', 'main', 'headwater.ts');
const KEPT_LINES = 2_000;

const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

let killed = 0;

/** Number of processes that the tests of this run have killed. */
export function kills(): number {
  return killed;
}

/** Runs roles in a separate process that a test can kill. */
export class RoleProcess {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #exited: Promise<unknown>;

  constructor(roles: readonly string[], env: Readonly<Record<string, string>>) {
    this.#child = spawn(process.execPath, [ENTRY, 'serve', '--roles', roles.join(',')], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    alive.add(this.#child);
    this.#exited = once(this.#child, 'exit').then(() => alive.delete(this.#child));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => this.#keep(line));
    }
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The last lines it logged. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  logged(pattern: RegExp, timeoutMs?: number): Promise<string> {
    return until(
      `a log line like ${String(pattern)}`,
      () => {
        const found = this.#lines.find((line) => pattern.test(line));
        if (found === undefined) throw new Error(`it logged ${this.#lines.slice(-5).join('\n')}`);
        return found;
      },
      timeoutMs === undefined ? {} : { timeoutMs },
    );
  }

  /** Sends SIGKILL. Resolves when the process has ended. */
  async kill(): Promise<void> {
    if (!this.running) throw new Error(`It ended before it was killed: ${this.#lines.slice(-5).join('\n')}`);
    killed++;
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves to the exit code when the process has ended by itself. */
  async exit(withinMs = 60_000): Promise<number | null> {
    const late = AbortSignal.timeout(withinMs);
    await Promise.race([this.#exited, once(late, 'abort')]);
    if (!this.running) return this.#child.exitCode;
    throw new Error(`It still runs after ${withinMs} ms: ${this.#lines.slice(-10).join('\n')}`);
  }

  /** Sends SIGTERM. Resolves to the exit code. Throws if the process does not end in time. */
  async terminate(withinMs = 10_000): Promise<number | null> {
    this.#child.kill('SIGTERM');
    return this.exit(withinMs);
  }

  /** Stops the process, like a suspended machine, until `thaw`. */
  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  /** Ends the process if it runs. Does not count as a kill. */
  async end(): Promise<void> {
    if (this.running) this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** Peak memory in MiB. Linux only. */
  peakMemory(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? NaN) / 1024);
  }

  #keep(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
  }
}
