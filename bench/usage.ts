import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** A process to account for; with `children`, it and everything it started (PostgreSQL's sessions). */
export interface Measured {
  readonly name: string;
  readonly pid: number;
  readonly children?: boolean;
}

export interface Usage {
  readonly cpuSeconds: number;
  /** Resident at once; of a process with children the sum, each shared page counted once. NaN where /proc does not say. */
  readonly peakBytes: number;
}

export interface PhaseUsage {
  readonly phase: string;
  readonly runs: number;
  readonly seconds: number;
  readonly processes: Readonly<Record<string, Usage>>;
}

/** Everything on the machine that is none of the measured processes: the tools that are run, and other users. */
export const ELSE = 'anything else';

const TICKS_PER_SECOND = 100; // USER_HZ of every Linux Node runs on
const SAMPLE_MS = 500;

/**
 * Measures what the processes used during a phase. Linux only; elsewhere all of it is NaN. A phase that runs several times
 * adds up its CPU and keeps its highest memory.
 */
export class UsageMeter {
  readonly #measured: () => readonly Measured[];
  readonly #phases = new Map<string, PhaseUsage>();

  constructor(measured: () => readonly Measured[]) {
    this.#measured = measured;
  }

  get phases(): readonly PhaseUsage[] {
    return [...this.#phases.values()];
  }

  async during<T>(phase: string, work: () => Promise<T>): Promise<T> {
    const before = new Map(this.#measured().map((one) => [one.pid, cpuSecondsOf(one)]));
    const machineBefore = machineSeconds();
    const peaks = new Map<string, number>();
    for (const { pid } of this.#measured()) forgetPeak(pid);
    const sample = (): void => {
      for (const one of this.#measured()) {
        const now = one.children ? sharedFairly(one.pid) : peakOf(one.pid);
        peaks.set(one.name, Math.max(peaks.get(one.name) ?? 0, now));
      }
    };
    const timer = setInterval(sample, SAMPLE_MS);
    const begun = performance.now();
    try {
      return await work();
    } finally {
      clearInterval(timer);
      const seconds = (performance.now() - begun) / 1000;
      sample();
      const used = this.#measured().map((one): [string, Usage] => [
        one.name,
        { cpuSeconds: cpuSecondsOf(one) - (before.get(one.pid) ?? 0), peakBytes: peaks.get(one.name) ?? NaN },
      ]);
      const own = used.reduce((total, [, { cpuSeconds }]) => total + cpuSeconds, 0);
      used.push([ELSE, { cpuSeconds: machineSeconds() - machineBefore - own, peakBytes: NaN }]);
      this.#add({ phase, runs: 1, seconds, processes: Object.fromEntries(used) });
    }
  }

  #add(found: PhaseUsage): void {
    const known = this.#phases.get(found.phase);
    if (!known) {
      this.#phases.set(found.phase, found);
      return;
    }
    const names = new Set([...Object.keys(known.processes), ...Object.keys(found.processes)]);
    const processes = [...names].map((name): [string, Usage] => {
      const uses = [known.processes[name], found.processes[name]].filter((use) => use !== undefined);
      return [
        name,
        {
          cpuSeconds: uses.reduce((total, { cpuSeconds }) => total + cpuSeconds, 0),
          peakBytes: Math.max(...uses.map(({ peakBytes }) => peakBytes)),
        },
      ];
    });
    this.#phases.set(found.phase, {
      phase: found.phase,
      runs: known.runs + found.runs,
      seconds: known.seconds + found.seconds,
      processes: Object.fromEntries(processes),
    });
  }
}

function cpuSecondsOf({ pid, children = false }: Measured): number {
  const own = statOf(pid);
  if (!own) return NaN;
  if (!children) return (own.user + own.system) / TICKS_PER_SECOND;
  // The parent's own sums include the children that have ended.
  const living = childrenOf(pid).map((child) => statOf(child));
  const ticks = living.reduce((total, stat) => total + (stat ? stat.user + stat.system : 0), 0);
  return (own.user + own.system + own.ended + ticks) / TICKS_PER_SECOND;
}

export interface ProcessStat {
  readonly parent: number;
  readonly user: number;
  readonly system: number;
  /** Of children that ended. All in ticks. */
  readonly ended: number;
}

/** `/proc/<pid>/stat`. The name is in brackets and may hold anything, brackets too. */
export function parseStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (n: number): number => Number(fields[n - 3] ?? NaN); // numbered as in proc(5)
  return { parent: field(4), user: field(14), system: field(15), ended: field(16) + field(17) };
}

function statOf(pid: number): ProcessStat | undefined {
  const text = proc(`${pid}/stat`);
  return text === undefined ? undefined : parseStat(text);
}

function childrenOf(pid: number): number[] {
  try {
    const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return all.map(Number).filter((one) => statOf(one)?.parent === pid);
  } catch {
    return [];
  }
}

/** Since the machine started. */
function machineSeconds(): number {
  const [user, nice, system, , , interrupts, soft] =
    (proc('stat') ?? '').split('\n', 1)[0]?.split(/\s+/).slice(1) ?? [];
  const ticks = [user, nice, system, interrupts, soft].map(Number);
  return ticks.reduce((total, one) => total + one, 0) / TICKS_PER_SECOND;
}

function forgetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5'); // resets VmHWM, see proc(5)
  } catch {
    // it has ended, or it belongs to another user: then its peak covers its whole life
  }
}

function peakOf(pid: number): number {
  return kilobytes(proc(`${pid}/status`), 'VmHWM');
}

/** Of a process and its children, a page shared by n of them counted as one nth in each. */
function sharedFairly(pid: number): number {
  const sizes = [pid, ...childrenOf(pid)].map((one) => kilobytes(proc(`${one}/smaps_rollup`), 'Pss'));
  return sizes.reduce((total, size) => total + (Number.isNaN(size) ? 0 : size), 0);
}

function kilobytes(text: string | undefined, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text ?? '')?.[1];
  return found === undefined ? NaN : Number(found) * 1024;
}

function proc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'utf8');
  } catch {
    return undefined;
  }
}
