import assert from 'node:assert/strict';
import pg from 'pg';
import { exportNow } from './exported.ts';
import { Deployment } from './deployment.ts';
import { MedplumWriter } from '../servers/medplum/medplum-writer.ts';
import { Random } from '../e2e/random.ts';
import { sharedStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

describe('the tables of a source that has one for each type', function () {
  this.timeout(240_000);
  let deployment: Deployment;
  let client: pg.Client;
  const writer = new MedplumWriter(true);
  const random = new Random(7);

  before(async () => {
    deployment = await Deployment.create(sharedStack(), writer.settings);
    client = new pg.Client({ connectionString: deployment.databaseUrl });
    await client.connect();
    await writer.install(client);
    for (let i = 0; i < 40; i++) await writer.step(client, random);
    deployment.start();
    await deployment.ready();
  });

  after(async () => {
    await client?.end();
    await deployment?.remove();
  });

  async function keys(): Promise<string[]> {
    return [...(await exportNow({ server: deployment.server })).output.keys()].sort();
  }
  const answers = (): string[] => [...writer.answers.keys()].sort();
  /** The reasons that `/readyz` gives. */
  const reasons = async (): Promise<string> =>
    (await fetch(`${deployment.settings.publicUrl}/readyz`)).text();

  it('that appears while they are followed, filled and changed meanwhile, is complete', async () => {
    const project = writer.settings.HEADWATER_SOURCE_TENANT;
    const id = '33333333-0000-4000-8000-000000000003';
    const content = JSON.stringify({ resourceType: 'Encounter', id, status: 'planned' });
    await client.query('CREATE TABLE "Encounter" (LIKE "Patient" INCLUDING ALL)');
    await client.query(
      `INSERT INTO "Encounter" (id, content, "lastUpdated", "projectId") VALUES ($1, $2, now(), $3)`,
      [id, content, project],
    );
    await client.query('UPDATE "Encounter" SET content = $1', [content.replace('planned', 'finished')]);
    const found = await until('the new table to be followed', async () => {
      const { output } = await exportNow({ server: deployment.server });
      return output.get(`Encounter/${id}`);
    });
    assert.match(found, /finished/);
    await client.query('DELETE FROM "Encounter"');
    assert.deepEqual(await keys(), answers());
  });

  it('that is renamed stops capture by name, deletes nothing, and goes on when it is back', async () => {
    await client.query('ALTER TABLE "Observation" RENAME TO "Observation_away"');
    await until('the reason', async () => /no table public\.Observation/.test(await reasons()), {
      timeoutMs: 60_000,
    });
    await client.query('ALTER TABLE "Observation_away" RENAME TO "Observation"');
    await until('readiness', async () => (await fetch(`${deployment.settings.publicUrl}/readyz`)).ok, {
      timeoutMs: 60_000,
    });
    for (let i = 0; i < 10; i++) await writer.step(client, random);
    assert.deepEqual(await keys(), answers());
  });
});
