import assert from 'node:assert/strict';
import pg from 'pg';
import { Deployment } from '../faults/deployment.ts';
import { exportNow } from '../faults/exported.ts';
import type { Exported } from '../faults/exported.ts';
import { AidboxWriter } from '../servers/aidbox/aidbox-writer.ts';
import { MedplumWriter } from '../servers/medplum/medplum-writer.ts';
import { HFS, PlainWriter, WSO2 } from '../servers/plain/plain-writer.ts';
import type { PresetWriter } from '../servers/preset-writer.ts';
import { sharedStack } from '../support/stack.ts';
import { assertComposes } from './composes.ts';
import { historySeeds } from './history-seeds.ts';
import { Random } from './random.ts';

const CUTS = Number(process.env['HEADWATER_TEST_PRESET_CUTS'] ?? 8);
const TRANSACTIONS = 10;

const SERVERS: readonly [name: string, make: () => PresetWriter][] = [
  ['of Medplum', () => new MedplumWriter(true)],
  ['of Medplum as of 2024', () => new MedplumWriter(false)],
  ['of Aidbox', () => new AidboxWriter('aidbox')],
  ['of FHIRbase', () => new AidboxWriter('fhirbase')],
  ['of Helios', () => new PlainWriter(HFS)],
  ['of WSO2', () => new PlainWriter(WSO2)],
];

for (const [name, make] of SERVERS) {
  describe(`an export of the database ${name}`, function () {
    this.timeout(240_000);
    let deployment: Deployment;
    let client: pg.Client;
    const writer = make();

    before(async () => {
      deployment = await Deployment.create(sharedStack(), writer.settings);
      client = new pg.Client({ connectionString: deployment.databaseUrl });
      await client.connect();
      await writer.install(client);
      await write(new Random(1));
    });

    after(async () => {
      await client?.end();
      await deployment?.remove();
    });

    async function write(random: Random): Promise<void> {
      for (let n = 0; n < TRANSACTIONS; n++) {
        await client.query('BEGIN');
        for (let i = random.int(1, 4); i > 0; i--) await writer.step(client, random);
        await client.query('COMMIT');
      }
    }

    async function compare(): Promise<Exported> {
      const exported = await exportNow({ server: deployment.server });
      const { answers } = writer;
      assert.deepEqual([...exported.output.keys()].sort(), [...answers.keys()].sort());
      for (const [key, line] of exported.output) assert.deepEqual(JSON.parse(line), answers.get(key), key);
      return exported;
    }

    it('has the tables of its types only: others may hold secrets', async () => {
      deployment.start();
      await deployment.ready();
      const { rows } = await client.query<{ tablename: string }>(
        'SELECT DISTINCT tablename FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1',
        [deployment.settings.publication],
      );
      assert.deepEqual(
        rows.map(({ tablename }) => tablename),
        writer.tables,
      );
    });

    for (const seed of historySeeds(1)) {
      it(`equals what its API answers, after the load and after random operations, seed ${seed}`, async () => {
        const random = new Random(seed);
        let last = await compare();
        for (let cut = 0; cut < CUTS; cut++) {
          await write(random);
          const now = await compare();
          assertComposes(
            last,
            await exportNow({ server: deployment.server, since: last.transactionTime }),
            now,
          );
          last = now;
        }
      });
    }
  });
}
