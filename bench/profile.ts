import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** The fields of a V8 CPU profile that this file reads. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

export interface ProfileSummary {
  /** `worker, thread 1`; thread 0 is the main one. */
  readonly of: string;
  readonly file: string;
  /** Seconds in which the thread was not idle, by the clock on the wall: what others took of its core is in it. */
  readonly busySeconds: number;
  readonly functions: readonly { readonly name: string; readonly seconds: number }[];
}

const IDLE = new Set(['(idle)', '(program)']);

/**
 * Where the time of each profiled thread went, itself and not what it called; busiest threads first.
 * @param directory holds a folder for each role
 */
export function summarizeProfiles(directory: string, top = 15): readonly ProfileSummary[] {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return files
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => {
      const profile = JSON.parse(readFileSync(join(directory, name), 'utf8')) as CpuProfile;
      return { of: threadOf(name), file: basename(name), ...summarize(profile, top) };
    })
    .sort((a, b) => b.busySeconds - a.busySeconds);
}

/** Node names a profile `CPU.<date>.<time>.<pid>.<thread>.<number>.cpuprofile`. */
function threadOf(name: string): string {
  return `${dirname(name)}, thread ${/\.(\d+)\.\d+\.cpuprofile$/.exec(name)?.[1] ?? '?'}`;
}

export function summarize(profile: CpuProfile, top: number): Omit<ProfileSummary, 'of' | 'file'> {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const seconds = new Map<string, number>();
  for (const [i, id] of profile.samples.entries()) {
    const name = names.get(id) ?? '';
    seconds.set(name, (seconds.get(name) ?? 0) + (profile.timeDeltas[i] ?? 0) / 1e6);
  }
  const busy = [...seconds].filter(([name]) => !IDLE.has(name)).sort((a, b) => b[1] - a[1]);
  return {
    busySeconds: busy.reduce((total, [, one]) => total + one, 0),
    functions: busy.slice(0, top).map(([name, one]) => ({ name, seconds: one })),
  };
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName || '(native)';
  return `${functionName || '(anonymous)'} ${basename(url)}:${lineNumber + 1}`;
}
