import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { HeadwaterError } from '../../../src/base/errors.ts';
import { headwaterDirectory } from '../../../src/stack/contract.ts';
import { download, MAVEN_PLUGIN, missingForDownload, toolFolder } from '../../../src/stack/local/tools.ts';
import type { Tool } from '../../../src/stack/local/tools.ts';
import { runProgram } from '../../clients/bulk-client.ts';
import { jdk } from '../../support/jdk.ts';

export const HAPI_VERSION = '8.8.0';
const PROGRAM = join(import.meta.dirname, 'HapiServer.java');

const tool: Tool = {
  name: `HAPI FHIR ${HAPI_VERSION}`,
  folder: `hapi-server-${HAPI_VERSION}`,
  size: '280 MB',
  program: 'mvn',
  parameters: (target) => [
    '-B',
    `${MAVEN_PLUGIN}:copy-dependencies`,
    ...['-f', join(import.meta.dirname, 'pom.xml'), `-Dhapi.version=${HAPI_VERSION}`],
    ...['-DincludeScope=runtime', `-DoutputDirectory=${target}`],
  ],
};

export interface HapiProgram {
  readonly java: string;
  readonly classPath: string;
}

/**
 * Downloads HAPI's jars and compiles the server, each once. Throws an error that names Java or Maven when one of them is missing.
 */
export async function hapiProgram(): Promise<HapiProgram> {
  const java = (await jdk()).path;
  const missing = missingForDownload(headwaterDirectory, [tool], process.env);
  if (missing !== undefined) throw new HeadwaterError('unavailable', missing);
  const signal = AbortSignal.timeout(600_000);
  const report = (line: string): void => console.log(`        ${line}`);
  await download([tool], { directory: headwaterDirectory, env: process.env, signal, report });
  const jars = join(toolFolder(headwaterDirectory, tool), '*');
  return { java, classPath: [await compiled(java, jars), jars].join(':') };
}

/** Resolves to the folder of the compiled classes, which is named after their source. */
async function compiled(java: string, jars: string): Promise<string> {
  const source = createHash('sha256').update(readFileSync(PROGRAM)).digest('hex').slice(0, 12);
  const target = join(headwaterDirectory, 'tools', `${tool.folder}-classes-${source}`);
  if (existsSync(target)) return target;
  const partial = `${target}.partial-${process.pid}`;
  try {
    await runProgram(join(dirname(java), 'javac'), ['-cp', jars, '-d', partial, PROGRAM]);
    if (!existsSync(target)) renameSync(partial, target);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return target;
}
