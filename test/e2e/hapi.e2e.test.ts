import assert from 'node:assert/strict';
import { Deployment } from '../faults/deployment.ts';
import { exportNow } from '../faults/exported.ts';
import type { Exported } from '../faults/exported.ts';
import { HapiServer } from '../servers/hapi/hapi-server.ts';
import type { HapiOptions } from '../servers/hapi/hapi-server.ts';
import { sharedStack } from '../support/stack.ts';
import { assertComposes } from './composes.ts';
import { HapiWriter, resourcesOf } from './hapi-writer.ts';
import { historySeeds } from './history-seeds.ts';
import { Random } from './random.ts';

const CUTS = Number(process.env['HEADWATER_TEST_HAPI_CUTS'] ?? 6);
/** Between two exports. */
const OPERATIONS = Number(process.env['HEADWATER_TEST_HAPI_OPERATIONS'] ?? 25);
const TYPES = ['Patient', 'Observation'];

interface Kind {
  readonly name: string;
  readonly hapi: Partial<HapiOptions>;
  readonly settings: Readonly<Record<string, string>>;
}

const KINDS: readonly Kind[] = [
  { name: 'as it comes', hapi: {}, settings: {} },
  {
    name: 'with tags in bodies',
    hapi: { tags: 'INLINE' },
    settings: { HEADWATER_SOURCE_HAPI_TAGS: 'inline' },
  },
  {
    name: 'whose versions have no tags',
    hapi: { tags: 'NON_VERSIONED' },
    settings: { HEADWATER_SOURCE_HAPI_TAGS: 'non-versioned' },
  },
  { name: 'without history', hapi: { history: false }, settings: {} },
  {
    name: 'whose clock is in Berlin',
    hapi: { timeZone: 'Europe/Berlin' },
    settings: { HEADWATER_SOURCE_TIME_ZONE: 'Europe/Berlin' },
  },
];

for (const kind of KINDS)
  describe(`an export of a HAPI FHIR server ${kind.name}`, function () {
    this.timeout(900_000); // the first start downloads
    let deployment: Deployment;
    let server: HapiServer;
    let last: Exported;

    before(async () => {
      deployment = await Deployment.create(sharedStack(), {
        HEADWATER_SOURCE_PRESET: 'hapi',
        ...kind.settings,
      });
      server = await HapiServer.start({ databaseUrl: deployment.databaseUrl, ...kind.hapi });
    });

    after(async () => {
      await server?.stop();
      await deployment?.remove();
    });

    /** The server's own answers, and the export of the same moment. */
    async function compare(): Promise<Exported> {
      const exported = await exportNow({ server: deployment.server, types: TYPES });
      const answers = new Map(
        (await Promise.all(TYPES.map((type) => resourcesOf(server, type)))).flatMap((found) => [...found]),
      );
      assert.deepEqual([...exported.output.keys()].sort(), [...answers.keys()].sort());
      for (const [key, line] of exported.output) assert.deepEqual(JSON.parse(line), answers.get(key), key);
      return exported;
    }

    for (const seed of historySeeds(1)) {
      it(`equals the server's answers after the load and after random operations, seed ${seed}`, async () => {
        const writer = new HapiWriter(server, new Random(seed));
        await writer.begin();
        for (let i = 0; i < OPERATIONS; i++) await writer.step();
        deployment.start();
        await deployment.ready();
        last = await compare();
        for (let cut = 0; cut < CUTS; cut++) {
          for (let i = 0; i < OPERATIONS; i++) await writer.step();
          const now = await compare();
          const changes = await exportNow({
            server: deployment.server,
            types: TYPES,
            since: last.transactionTime,
          });
          assertComposes(last, changes, now);
          last = now;
        }
      });
    }
  });
