import { execFileSync } from 'node:child_process';
import { cpus, loadavg, platform, release, totalmem } from 'node:os';
import { findJava } from '../src/stack/local/java.ts';
import { KAFKA_VERSION } from '../src/stack/local/tools.ts';
import { withClient } from './changes.ts';

/** The machine on which the figures were measured. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  readonly node: string;
  readonly postgresql: string;
  readonly kafka: string;
  /** Of the broker and of Kafka's own consumer. */
  readonly java: number;
  /** Of this checkout; with `+` when files differ from it. */
  readonly commit: string;
  /** Processes that wanted a core before anything of the benchmark ran, over the last minute. */
  readonly loadBefore: number;
  /** Settings that the shell gave. */
  readonly settings: Readonly<Record<string, string>>;
}

/** @param loadBefore `busyness()`, asked before the benchmark starts anything */
export async function describeMachine(sourceUrl: string, loadBefore: number): Promise<Machine> {
  const version = await withClient(sourceUrl, async (client) => {
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    return rows[0]?.server_version ?? '';
  });
  const [first] = cpus();
  return {
    cpu: first?.model.trim() ?? '',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1e9),
    system: `${platform()} ${release()}`,
    node: process.versions.node,
    postgresql: version,
    kafka: KAFKA_VERSION,
    java: (await findJava(process.env, 21)).release,
    commit: commit(),
    loadBefore,
    settings: givenSettings(),
  };
}

export function busyness(): number {
  return Math.round((loadavg()[0] ?? NaN) * 100) / 100;
}

const SECRET = /PASSWORD|SECRET|URL/;

function givenSettings(): Record<string, string> {
  const given = Object.entries(process.env).filter(([name]) => /^HEADWATER_(?!STACK|TEST)/.test(name));
  return Object.fromEntries(
    given.map(([name, value]) => [name, SECRET.test(name) ? '(hidden)' : (value ?? '')]),
  );
}

function commit(): string {
  const git = (...parameters: string[]): string =>
    execFileSync('git', parameters, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  try {
    const differs = git('status', '--porcelain', '--untracked-files=no', '--', '..').trim() !== '';
    return git('rev-parse', '--short', 'HEAD').trim() + (differs ? '+' : '');
  } catch {
    return 'unknown'; // no git, or no repository
  }
}
