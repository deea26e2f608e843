import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { HeadwaterError } from '../../base/errors.ts';
import { onPath } from './java.ts';

export const KAFKA_VERSION = '4.2.0';
/** 3.3.3 needs Java 21. With Java 17, the last version that runs on it serves the same API. */
export const REGISTRY_VERSIONS = { modern: '3.3.3', java17: '2.6.13.Final' } as const;
export const REGISTRY_MODERN_JAVA = 21;

export const MAVEN_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1';

/** A server's program files, downloaded once into `<directory>/tools/<folder>`. The folder exists only when it is complete. */
export interface Tool {
  readonly name: string;
  readonly folder: string;
  readonly size: string;
  /** The program that downloads it, from Maven Central or from PyPI. */
  readonly program: 'mvn' | 'python3';
  readonly parameters: (target: string) => readonly string[];
}

export const kafkaTool: Tool = {
  name: `Kafka ${KAFKA_VERSION}`,
  folder: `kafka-${KAFKA_VERSION}`,
  size: '55 MB',
  program: 'mvn',
  parameters: (target) => [
    '-B',
    `${MAVEN_PLUGIN}:copy-dependencies`,
    '-f',
    join(import.meta.dirname, 'pom.xml'),
    `-Dkafka.version=${KAFKA_VERSION}`,
    '-DincludeScope=runtime',
    `-DoutputDirectory=${target}`,
  ],
};

export function registryTool(version: string): Tool {
  return {
    name: `schema registry (Apicurio ${version})`,
    folder: `apicurio-${version}`,
    size: '160 MB',
    program: 'mvn',
    parameters: (target) => [
      '-B',
      `${MAVEN_PLUGIN}:unpack`,
      `-Dartifact=io.apicurio:apicurio-registry-app:${version}:tar.gz:all`,
      `-DoutputDirectory=${target}`,
    ],
  };
}

const SITES = { mvn: 'Maven Central', python3: 'PyPI' } as const;

export function toolFolder(directory: string, tool: Tool): string {
  return join(directory, 'tools', tool.folder);
}

/** One line about the obstacle to downloading the missing tools, or undefined. Changes nothing. */
export function missingForDownload(
  directory: string,
  tools: readonly Tool[],
  env: NodeJS.ProcessEnv,
): string | undefined {
  const missing = tools.filter((tool) => !existsSync(toolFolder(directory, tool)));
  if (missing.every(({ program }) => onPath(program, env) !== undefined)) return undefined;
  const names = missing.map((tool) => tool.name).join(' and ');
  return `Maven (mvn) was not found on the PATH; it downloads ${names}. Install it, or use Docker.`;
}

export interface DownloadOptions {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  report(line: string): void;
}

/** Downloads the missing tools, one after the other. Two processes may do it at once: the first to finish wins. */
export async function download(tools: readonly Tool[], options: DownloadOptions): Promise<void> {
  for (const tool of tools) {
    const target = toolFolder(options.directory, tool);
    if (existsSync(target)) continue;
    const partial = `${target}.partial-${String(process.pid)}`;
    const started = performance.now();
    const seconds = (): string => `${String(Math.round((performance.now() - started) / 1000))} s`;
    options.report(`Downloading ${tool.name} from ${SITES[tool.program]} (${tool.size}, once) …`);
    try {
      mkdirSync(partial, { recursive: true });
      await run(tool, partial, options, seconds);
      if (!existsSync(target)) renameSync(partial, target);
    } finally {
      rmSync(partial, { recursive: true, force: true });
    }
    options.report(`Downloaded ${tool.name} in ${seconds()}.`);
  }
}

async function run(
  tool: Tool,
  target: string,
  options: DownloadOptions,
  seconds: () => string,
): Promise<void> {
  const { program } = tool;
  const child = spawn(onPath(program, options.env) ?? program, tool.parameters(target), {
    cwd: target, // a folder without another pom.xml
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: options.signal,
  });
  let files = 0;
  const errors: string[] = [];
  const read = (line: string): void => {
    if (/Downloaded from/.test(line)) files++;
    if (/ERROR/.test(line) && errors.length < 3) errors.push(line.replace(/^.*ERROR\S*\s*/, ''));
  };
  createInterface({ input: child.stdout }).on('line', read);
  createInterface({ input: child.stderr }).on('line', read);
  const progress = setInterval(() => {
    const count = files === 0 ? `${program} begins` : `${String(files)} files so far`;
    options.report(`  ${tool.name}: ${count}, ${seconds()}`);
  }, 5000);
  try {
    let problem: unknown;
    child.once('error', (error) => (problem = error));
    const code = await new Promise((resolve) => child.once('close', resolve)); // also when the signal ends it
    if (problem instanceof Error) throw problem;
    if (code === 0) return;
    throw new HeadwaterError(
      'unavailable',
      `${program} could not download ${tool.name}: ${errors.join(' ').slice(0, 600)}`,
    );
  } finally {
    clearInterval(progress);
  }
}
