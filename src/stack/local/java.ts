import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { HeadwaterError } from '../../base/errors.ts';

const run = promisify(execFile);

export interface Java {
  readonly path: string;
  /** 17, 21, 25 … */
  readonly release: number;
}

export const OLDEST_JAVA = 17;

/** Searches JAVA_HOME, the PATH and the usual folders: the first Java of at least `wanted`, else the first of at least 17. */
export async function findJava(env: NodeJS.ProcessEnv, wanted: number): Promise<Java> {
  let fallback: Java | undefined;
  for (const path of candidates(env)) {
    const release = await releaseOf(path);
    if (release === undefined) continue;
    if (release >= wanted) return { path, release };
    if (release >= OLDEST_JAVA) fallback ??= { path, release };
  }
  if (fallback) return fallback;
  throw new HeadwaterError(
    'bad-config',
    `Java ${String(OLDEST_JAVA)} or newer was not found (21 or newer is better): install it, or set JAVA_HOME.`,
  );
}

function candidates(env: NodeJS.ProcessEnv): string[] {
  const home = env['JAVA_HOME'];
  const folders = [
    ...(home === undefined || home === '' ? [] : [join(home, 'bin')]),
    ...(env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''),
    ...globSync([
      '/usr/lib/jvm/*/bin',
      '/opt/*/bin',
      '/Library/Java/JavaVirtualMachines/*/Contents/Home/bin',
      '/opt/homebrew/opt/openjdk*/bin',
      join(homedir(), '.sdkman/candidates/java/*/bin'),
    ]).sort(),
  ];
  return folders.map((folder) => join(folder, 'java')).filter((path) => existsSync(path));
}

/** Reads the JDK's `release` file, which is fast, else runs `java -version`. */
async function releaseOf(path: string): Promise<number | undefined> {
  const file = join(dirname(dirname(path)), 'release');
  if (existsSync(file)) {
    const release = parseRelease(readFileSync(file, 'utf8'));
    if (release !== undefined) return release;
  }
  try {
    return parseRelease((await run(path, ['-version'], { timeout: 20_000 })).stderr);
  } catch {
    return undefined; // macOS has a /usr/bin/java that only prints where to get Java
  }
}

/** `JAVA_VERSION="25.0.3"`, `openjdk version "17.0.15" 2025-04-15`, `java version "1.8.0_392"`. */
export function parseRelease(text: string): number | undefined {
  const match = /version="?\s*"?(\d+)(?:\.(\d+))?/i.exec(text.replace(/version "/i, 'version="'));
  if (!match) return undefined;
  const major = Number(match[1]);
  return major === 1 ? Number(match[2]) : major;
}

/** Path of a program on the PATH. */
export function onPath(name: string, env: NodeJS.ProcessEnv): string | undefined {
  return (env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}
