import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { Deployment } from '../faults/deployment.ts';
import { exportNow } from '../faults/exported.ts';
import { AidboxWriter } from '../servers/aidbox/aidbox-writer.ts';
import { MedplumWriter } from '../servers/medplum/medplum-writer.ts';
import { CANARY } from '../servers/preset-writer.ts';
import { sharedStack } from '../support/stack.ts';
import { Random } from './random.ts';

/** It is in bodies that are exported. */
const ORDINARY = 'Müller';

const SERVERS: readonly [name: string, make: () => MedplumWriter | AidboxWriter][] = [
  ['Medplum', () => new MedplumWriter(true)],
  ['Aidbox', () => new AidboxWriter('aidbox')],
];

for (const [name, make] of SERVERS) {
  describe(`the database of ${name}`, function () {
    this.timeout(120_000);
    let deployment: Deployment;
    let client: pg.Client;
    const writer = make();
    const random = new Random(3);

    before(async () => {
      deployment = await Deployment.create(sharedStack(), writer.settings);
      client = new pg.Client({ connectionString: deployment.databaseUrl });
      await client.connect();
      await writer.install(client);
      await write();
      deployment.start();
      await deployment.ready();
    });

    after(async () => {
      await client?.end();
      await deployment?.remove();
    });

    async function write(): Promise<void> {
      for (let i = 0; i < 40; i++) await writer.step(client, random);
    }

    /** Everything in every topic of the installation. */
    async function logged(): Promise<Buffer> {
      const { reader, kafka } = deployment.log;
      const admin = kafka.admin();
      await admin.connect();
      const topics = (await admin.listTopics()).filter((one) =>
        one.startsWith(deployment.settings.topicPrefix),
      );
      await admin.disconnect();
      const parts: Buffer[] = [];
      for (const topic of topics) {
        const [starts, ends] = await Promise.all([reader.starts(topic), reader.ends(topic)]);
        for (const [partition, to] of ends.entries()) {
          const range = { topic, partition, from: starts[partition] ?? to, to };
          for await (const records of reader.read(range, AbortSignal.timeout(60_000)))
            parts.push(...records.flatMap(({ key, value }) => [key, value]));
        }
      }
      return Buffer.concat(parts);
    }

    async function filed(): Promise<Buffer> {
      const entries = await readdir(deployment.folder, { recursive: true, withFileTypes: true });
      const files = entries.filter((entry) => entry.isFile());
      return Buffer.concat(
        await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name)))),
      );
    }

    it('has secrets in tables of its own, which reach no topic and no file', async () => {
      await write();
      await writer.writeSecrets(client);
      await write();
      await exportNow({ server: deployment.server });
      for (const bytes of [await logged(), await filed()]) {
        assert.ok(bytes.includes(ORDINARY));
        assert.ok(!bytes.includes(CANARY));
      }
    });
  });
}

describe('a reindex of Medplum', function () {
  this.timeout(120_000);
  let deployment: Deployment;
  let client: pg.Client;
  const writer = new MedplumWriter(true);

  before(async () => {
    deployment = await Deployment.create(sharedStack(), writer.settings);
    client = new pg.Client({ connectionString: deployment.databaseUrl });
    await client.connect();
    await writer.install(client);
    for (let i = 0, random = new Random(5); i < 60; i++) await writer.step(client, random);
    deployment.start();
    await deployment.ready();
  });

  after(async () => {
    await client?.end();
    await deployment?.remove();
  });

  it('writes no record, since no version and nothing that its API shows has changed', async () => {
    const first = await exportNow({ server: deployment.server });
    assert.ok((await writer.reindex(client)) > 0);
    const { output, deleted } = await exportNow({
      server: deployment.server,
      since: first.transactionTime,
    });
    assert.equal(output.size + deleted.size, 0);
    const metrics = await (await fetch(`${deployment.settings.publicUrl}/metrics`)).text();
    const changes = [...metrics.matchAll(/^headwater_capture_changes_total\{operation="(\w+)"\} (\d+)/gm)];
    assert.deepEqual(
      changes.filter(([, operation, count]) => operation !== 'snapshot' && count !== '0'),
      [],
    );
  });
});
