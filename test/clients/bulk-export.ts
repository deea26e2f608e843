import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../src/base/errors.ts';
import { headwaterDirectory } from '../../src/stack/contract.ts';
import { download, MAVEN_PLUGIN, missingForDownload, toolFolder } from '../../src/stack/local/tools.ts';
import type { Tool } from '../../src/stack/local/tools.ts';
import { jdk, QUICK_START } from '../support/jdk.ts';
import { runProgram } from './bulk-client.ts';
import type { BulkClient } from './bulk-client.ts';

const VERSION = '1.0.4';
const FOLDER = join(import.meta.dirname, 'bulk-export');

const tool: Tool = {
  name: `bulk-export ${VERSION}`,
  folder: `bulk-export-${VERSION}`,
  size: '10 MB',
  program: 'mvn',
  parameters: (target) => [
    '-B',
    `${MAVEN_PLUGIN}:copy-dependencies`,
    ...['-f', join(FOLDER, 'pom.xml'), `-Dbulk-export.version=${VERSION}`],
    ...['-DincludeScope=runtime', `-DoutputDirectory=${target}`],
  ],
};

/** CSIRO's library for Java, which Pathling uses. It ignores `deleted`. */
export const bulkExport: BulkClient = {
  name: `au.csiro.fhir:bulk-export ${VERSION}`,
  levels: ['Patient', 'Group'],
  filters: true,
  keepsDeletions: false,
  async prepare() {
    const missing = missingForDownload(headwaterDirectory, [tool], process.env);
    if (missing !== undefined) return missing;
    try {
      await jdk();
    } catch (error) {
      return messageOf(error);
    }
    const signal = AbortSignal.timeout(300_000);
    const report = (line: string): void => console.log(line);
    await download([tool], { directory: headwaterDirectory, env: process.env, signal, report });
    return undefined;
  },
  async export({ server, directory, level, types, since, typeFilter }) {
    await rm(directory, { recursive: true }); // the client must create it itself
    const classes = join(toolFolder(headwaterDirectory, tool), '*');
    const program = join(FOLDER, 'Export.java');
    const parameters = [
      server,
      directory,
      level ?? '',
      types?.join(',') ?? '',
      since ?? '',
      typeFilter ?? '',
    ];
    await runProgram((await jdk()).path, [...QUICK_START, '-cp', classes, program, ...parameters]);
  },
};
