import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MedplumClient } from '@medplum/core';
import { parseManifest } from '../../src/client/received-manifest.ts';
import type { BulkClient } from './bulk-client.ts';

/** The library under `medplum bulk export`, used as that command uses it; the command itself brings 350 MB. */
export const medplum: BulkClient = {
  name: '@medplum/core',
  levels: ['Patient', 'Group'],
  filters: false,
  keepsDeletions: false,
  prepare: () => Promise.resolve(undefined),
  async export({ server, directory, level, types, since }) {
    const { origin, pathname } = new URL(server);
    const client = new MedplumClient({ baseUrl: origin, fhirUrlPath: pathname, fetch });
    const options = { pollStatusOnAccepted: true };
    const manifest = parseManifest(await client.bulkExport(level, types?.join(','), since, options));
    await Promise.all(
      manifest.output.map(async ({ url }, index) => {
        const content = await client.download(url);
        const path = join(directory, `${index}.ndjson`);
        await writeFile(path, await content.bytes());
      }),
    );
  },
};
