import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROLES } from '../../src/config/roles.ts';
import { jobTables, schemaOf } from '../../src/jobs/schema.ts';
import { freePort } from '../../src/stack/ports.ts';
import { sharedStack } from '../support/stack.ts';
import { Deployment, dropSlot, withClient } from './deployment.ts';
import { exportNow } from './exported.ts';
import type { Exported } from './exported.ts';
import { SourceWriter } from './source-writer.ts';
import { until } from '../support/until.ts';

describe('two installations on one database', function () {
  this.timeout(240_000);
  let first: Deployment;
  let writer: SourceWriter;
  let folder: string;
  /** Of the second one: prefix, slot, publication, table, folder and port of its own. */
  let own: Record<string, string>;

  before(async () => {
    first = await Deployment.create(sharedStack());
    writer = await SourceWriter.create(first.databaseUrl);
    await writer.bulk('Patient', 'a', 20);
    await first.query('CREATE TABLE other (LIKE resource INCLUDING ALL)');
    await first.query('ALTER TABLE other REPLICA IDENTITY FULL');
    await first.query(
      `INSERT INTO other SELECT type, 'b' || n, 1, now(), json_build_object('resourceType', type, 'id', 'b' || n)::text
       FROM (VALUES ('Patient')) types (type), generate_series(1, 10) n`,
    );
    folder = await mkdtemp(join(tmpdir(), 'headwater-second-'));
    const port = String(await freePort());
    own = {
      HEADWATER_TOPIC_PREFIX: `${first.settings.topicPrefix}-b`,
      HEADWATER_SLOT: `${first.settings.slot}_b`,
      HEADWATER_PUBLICATION: `${first.settings.publication}_b`,
      HEADWATER_SOURCE_TABLE: 'public.other',
      HEADWATER_STORAGE_URL: pathToFileURL(folder).href,
      HEADWATER_HTTP_PORT: port,
    };
    first.start();
    await first.ready();
    await patientsOf(first.server);
  });

  after(async () => {
    await writer?.close();
    await first?.end();
    await withClient(first.databaseUrl, (client) => dropSlot(client, own['HEADWATER_SLOT'] ?? ''));
    await first?.remove();
    await rm(folder, { recursive: true, force: true });
  });

  const shared: readonly [what: string, setting: string, refusal: RegExp][] = [
    ['the storage folder', 'HEADWATER_STORAGE_URL', /HEADWATER_STORAGE_URL belongs to the installation/],
    [
      'the slot',
      'HEADWATER_SLOT',
      /slot .* exists and the log of HEADWATER_TOPIC_PREFIX=.*-b does not know it/,
    ],
    [
      'the publication',
      'HEADWATER_PUBLICATION',
      /publication .* belongs to the Headwater of HEADWATER_TOPIC_PREFIX/,
    ],
  ];
  for (const [what, setting, refusal] of shared) {
    it(`refuses a second installation that shares ${what}, and names the setting`, async () => {
      const second = first.start(ROLES, { ...own, [setting]: first.env[setting] ?? '' });
      await second.logged(refusal);
      assert.notEqual(await second.exit(), 0);
    });
  }

  it('refuses the second by name when its schema is the first one’s', async () => {
    const { installation } = jobTables(schemaOf(own['HEADWATER_TOPIC_PREFIX'] ?? ''));
    const [row] = await first.query<{ name: string }>(`SELECT name FROM ${installation}`);
    await first.query(`UPDATE ${installation} SET name = $1`, [first.settings.topicPrefix]);
    const second = first.start(ROLES, own);
    await second.logged(/schema .* belongs to the installation/);
    assert.notEqual(await second.exit(), 0);
    await first.query(`UPDATE ${installation} SET name = $1`, [row?.name]);
  });

  it('refuses an installation of the same name on another database', async () => {
    const other = await Deployment.create(sharedStack(), {
      HEADWATER_TOPIC_PREFIX: first.settings.topicPrefix,
      HEADWATER_SLOT: first.settings.slot,
    });
    try {
      await (await SourceWriter.create(other.databaseUrl)).close();
      const started = other.start();
      await started.logged(/another database/);
      assert.notEqual(await started.exit(), 0);
    } finally {
      await other.end();
      await other.dropDatabase();
    }
  });

  it("gives each client the patients of its installation, in that installation's folder", async () => {
    first.start(ROLES, own);
    const base = `http://127.0.0.1:${own['HEADWATER_HTTP_PORT'] ?? ''}`;
    await until('readiness', async () => (await fetch(`${base}/readyz`)).ok);
    for (let round = 0; round < 2; round++) {
      const [a, b] = await Promise.all([
        exportNow({ server: first.server }),
        exportNow({ server: `${base}/fhir` }),
      ]);
      assert.deepEqual(idsOf(a), idsFor('a', 20));
      assert.deepEqual(idsOf(b), idsFor('b', 10));
    }
    for (const [root, letter] of [
      [first.folder, 'a'],
      [folder, 'b'],
    ] as const) {
      const lines = await linesIn(root);
      assert.ok(lines.length > 0);
      assert.deepEqual(
        lines.filter((id) => !id.startsWith(letter)),
        [],
      );
    }
  });

  async function patientsOf(server: string): Promise<string[]> {
    return idsOf(await exportNow({ server }));
  }

  function idsOf({ output }: Exported): string[] {
    return [...output.keys()].filter((key) => key.startsWith('Patient/')).sort();
  }

  function idsFor(letter: string, count: number): string[] {
    return Array.from({ length: count }, (_, n) => `Patient/${letter}${String(n + 1)}`).sort();
  }

  /** Ids of all patients in the files of a folder. */
  async function linesIn(root: string): Promise<string[]> {
    const names = (await readdir(root, { recursive: true })).filter((name) => /Patient.*ndjson$/.test(name));
    const texts = await Promise.all(names.map((name) => readFile(join(root, name), 'utf8')));
    const lines = texts.flatMap((text) => text.split('\n').filter((line) => line !== ''));
    return lines.map((line) => (JSON.parse(line) as { id: string }).id);
  }
});
