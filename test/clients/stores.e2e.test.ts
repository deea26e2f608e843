import { messageOf } from '../../src/base/errors.ts';
import type { Deployment } from '../faults/deployment.ts';
import { azureServer, gcsServer, s3Server } from '../support/object-servers.ts';
import type { ObjectServer } from '../support/object-servers.ts';
import { bulkExport } from './bulk-export.ts';
import { assertSame, exportBy } from './export-by.ts';
import { DATA, loadedHeadwater } from './loaded.ts';
import { medplum } from './medplum.ts';
import { ownCommandLine } from './own-command-line.ts';
import { receivedIn } from './received.ts';
import { smartFetch } from './smart-fetch.ts';

const INSTALL_MS = 300_000;

for (const [name, start] of [
  ['S3', s3Server],
  ['Google Cloud Storage', gcsServer],
  ['Azure Blob Storage', azureServer],
] as const) {
  describe(`clients of others, with files in ${name}`, function () {
    this.timeout(120_000);
    let server: ObjectServer;
    let headwater: Deployment;

    before(async () => {
      server = await start();
      const url = await server.makeBucket('exports');
      headwater = await loadedHeadwater({ ...server.settings, HEADWATER_STORAGE_URL: url });
    });

    after(async () => {
      await headwater?.remove();
      await server?.stop();
    });

    for (const client of [ownCommandLine, bulkExport, medplum, smartFetch])
      it(`let ${client.name} receive every resource once, by signed URLs`, async function () {
        this.timeout(INSTALL_MS);
        const missing = await client.prepare().catch(messageOf);
        if (missing !== undefined) {
          console.log(`      ${client.name} is skipped: ${missing}`);
          this.skip();
        }
        const { resources } = await exportBy(client, { server: headwater.server });
        const wanted = [...(await receivedIn(DATA)).resources].filter(
          ([key]) => client.types?.includes(key.split('/')[0] ?? '') ?? true,
        );
        assertSame(resources, new Map(wanted));
      });
  });
}
