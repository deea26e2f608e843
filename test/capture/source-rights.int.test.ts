import assert from 'node:assert/strict';
import pg from 'pg';
import { presetOf } from '../../src/capture/presets/presets.ts';
import { Source } from '../../src/capture/source.ts';
import { checkSource, preparationFor } from '../../src/capture/source-report.ts';
import { Deployment } from '../faults/deployment.ts';
import { exportNow } from '../faults/exported.ts';
import { PlainWriter, WSO2 } from '../servers/plain/plain-writer.ts';
import { uniqueIdentifier } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';
import { Random } from '../e2e/random.ts';

describe('the role that a superuser prepares', function () {
  this.timeout(240_000);
  const role = uniqueIdentifier('reader');
  let deployment: Deployment;
  let client: pg.Client;
  const writer = new PlainWriter(WSO2);

  const sourceAs = (user: string | undefined): Source => {
    const url = new URL(deployment.databaseUrl);
    if (user !== undefined) [url.username, url.password] = [user, 'p'];
    const { slot, publication, topicPrefix } = deployment.settings;
    const preset = presetOf({ preset: 'wso2', table: 'public.resources', tenants: ['one'] });
    return new Source({ url: url.href, slot, publication, prefix: topicPrefix, preset });
  };

  before(async () => {
    deployment = await Deployment.create(sharedStack(), writer.settings);
    client = new pg.Client({ connectionString: deployment.databaseUrl });
    await client.connect();
    await writer.install(client);
    const random = new Random(1);
    for (let i = 0; i < 40; i++) await writer.step(client, random);
  });

  after(async () => {
    await deployment.end();
    await client.query(`DROP OWNED BY ${role} CASCADE`);
    await client.end();
    await deployment.remove();
    const admin = new pg.Client({ connectionString: sharedStack().postgresUrl });
    await admin.connect();
    await admin.query(`DROP ROLE ${role}`);
    await admin.end();
  });

  it('has everything that a check looks for, and exports the rows that its policies would hide', async () => {
    for (const sql of await preparationFor(sourceAs(undefined), role))
      await client.query(sql.replace('<password>', 'p'));
    assert.deepEqual((await checkSource(sourceAs(role))).problems, []);
    const url = new URL(deployment.databaseUrl);
    [url.username, url.password] = [role, 'p'];
    deployment.start(undefined, { HEADWATER_SOURCE_URL: url.href });
    await deployment.ready();
    const { output } = await exportNow({ server: deployment.server });
    assert.deepEqual([...output.keys()].sort(), [...writer.answers.keys()].sort());
    await deployment.end();
  });

  const rights: readonly [what: string, take: string, line: RegExp, give: string][] = [
    [
      'to read the table',
      `REVOKE SELECT ON resources FROM ${role}`,
      /may not read public\.resources; run GRANT SELECT/,
      `GRANT SELECT ON resources TO ${role}`,
    ],
    [
      'to see every row',
      `ALTER ROLE ${role} NOBYPASSRLS`,
      /row-level security .* hides rows/,
      `ALTER ROLE ${role} BYPASSRLS`,
    ],
    [
      'to whole old rows',
      'ALTER TABLE resources REPLICA IDENTITY DEFAULT',
      /no REPLICA IDENTITY FULL; run ALTER TABLE/,
      'ALTER TABLE resources REPLICA IDENTITY FULL',
    ],
  ];
  for (const [what, take, line, give] of rights) {
    it(`is missing the right ${what}, and the check says so`, async () => {
      await client.query(take);
      const { problems } = await checkSource(sourceAs(role));
      await client.query(give);
      assert.match(problems.join('\n'), line);
      assert.deepEqual((await checkSource(sourceAs(role))).problems, []);
    });
  }

  it('is asked for one tenant', async () => {
    const preset = presetOf({ preset: 'wso2', table: 'public.resources' });
    const { slot, publication, topicPrefix: prefix } = deployment.settings;
    const source = new Source({ url: deployment.databaseUrl, slot, publication, prefix, preset });
    assert.match(
      (await checkSource(source)).problems.join('\n'),
      /tenants one, two; name one in HEADWATER_SOURCE_TENANT/,
    );
    await assert.rejects(source.prepare(), { code: 'blocked', message: /HEADWATER_SOURCE_TENANT/ });
  });

  it('is refused a tenant that has no resources where others have', async () => {
    const preset = presetOf({ preset: 'wso2', table: 'public.resources', tenants: ['One'] });
    const { slot, publication, topicPrefix: prefix } = deployment.settings;
    const source = new Source({ url: deployment.databaseUrl, slot, publication, prefix, preset });
    assert.match(
      (await checkSource(source)).problems.join('\n'),
      /no resource of One .*HEADWATER_SOURCE_TENANT/,
    );
  });

  it('changes nothing while it checks, and says what a start would run', async () => {
    await client.query(`ALTER TABLE resources REPLICA IDENTITY DEFAULT`);
    const { mends } = await checkSource(sourceAs(undefined));
    assert.ok(mends.includes('ALTER TABLE "public"."resources" REPLICA IDENTITY FULL'));
    const { rows } = await client.query(
      "SELECT relreplident FROM pg_class WHERE oid = 'resources'::regclass",
    );
    assert.deepEqual(rows, [{ relreplident: 'd' }]);
  });
});
