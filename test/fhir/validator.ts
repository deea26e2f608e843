import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { messageOf } from '../../src/base/errors.ts';
import { headwaterDirectory } from '../../src/stack/contract.ts';
import { download, MAVEN_PLUGIN, missingForDownload, toolFolder } from '../../src/stack/local/tools.ts';
import type { Tool } from '../../src/stack/local/tools.ts';
import { jdk, QUICK_START } from '../support/jdk.ts';

const VERSION = '7.0.0';
const FOLDER = join(import.meta.dirname, 'validator');

const tool: Tool = {
  name: `HAPI's validator ${VERSION}`,
  folder: `hapi-validator-${VERSION}`,
  size: '110 MB',
  program: 'mvn',
  parameters: (target) => [
    '-B',
    `${MAVEN_PLUGIN}:copy-dependencies`,
    ...['-f', join(FOLDER, 'pom.xml'), `-Dhapi.version=${VERSION}`],
    ...['-DincludeScope=runtime', `-DoutputDirectory=${target}`],
  ],
};

/** Installs HAPI's validator. Resolves to what this machine lacks for it, if anything. */
export async function prepareValidator(signal: AbortSignal): Promise<string | undefined> {
  const missing = missingForDownload(headwaterDirectory, [tool], process.env);
  if (missing !== undefined) return missing;
  try {
    await jdk();
    const report = (line: string): void => console.log(line);
    await download([tool], { directory: headwaterDirectory, env: process.env, signal, report });
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** The errors of each line, by the definitions of R4: empty for a valid resource. Terminology and profiles are not checked. */
export async function validate(lines: readonly string[], signal: AbortSignal): Promise<string[]> {
  const classes = join(toolFolder(headwaterDirectory, tool), '*');
  const program = join(FOLDER, 'Validate.java');
  const child = spawn((await jdk()).path, [...QUICK_START, '-cp', classes, program], { signal });
  child.stdin.end(lines.map((line) => `${line}\n`).join(''));
  const [output, complaints] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const errors = output.split('\n').slice(0, -1);
  if (errors.length !== lines.length) throw new Error(`the validator did not end: ${complaints}`);
  return errors;
}
