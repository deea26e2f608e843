import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Manifest } from '../../src/manifest/manifest.ts';
import { TestClient, tokenForm } from '../access/clients.ts';
import { Headwater } from './headwater.ts';

const SAMPLE = new URL('../deidentify/fixtures/configuration-sample.json', import.meta.url);

describe('a de-identified export', function () {
  this.timeout(120_000);
  let headwater: Headwater;
  let database: pg.Client;
  let folder: string;
  let client: TestClient;
  let hash: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headwater-deidentify-'));
    const sample = await readFile(SAMPLE);
    hash = createHash('sha256').update(sample).digest('hex');
    await writeFile(join(folder, 'sample.json'), sample);
    await writeFile(join(folder, 'hash.key'), 'hash key');
    await writeFile(join(folder, 'shift.key'), 'shift key');
    client = await TestClient.make('lab');
    const file = {
      version: 1,
      issuers: { embedded: {} },
      clients: { lab: { jwks: await client.jwks(), scopes: ['system/*.rs'], roles: ['research'] } },
      roles: {
        research: {
          export: { levels: ['system'], deidentify: ['sample'], requireDeidentify: true },
          rules: [{ id: 'all', types: '*', where: 'everything' }],
        },
      },
      deidentification: {
        sample: {
          config: 'sample.json',
          keys: { cryptoHash: 'hash.key', dateShift: 'shift.key' },
          dateShiftScope: 'patient',
        },
      },
    };
    await writeFile(join(folder, 'access.json'), JSON.stringify(file));
    headwater = await Headwater.make(false, undefined, {
      HEADWATER_ACCESS_FILE: join(folder, 'access.json'),
    });
    database = await headwater.connect();
    for (const id of ['p1', 'p2']) {
      await put('Patient', id, { name: [{ family: `Planted-${id}` }], birthDate: '1970-01-02' });
      const subject = { reference: `Patient/${id}`, display: `Planted-${id}` };
      await put('Observation', `o-${id}`, { subject, effectiveDateTime: '1970-02-02' });
    }
    await headwater.startServing();
    await headwater.startCapture();
  });
  after(async () => {
    await database.end();
    await headwater.remove();
    await rm(folder, { recursive: true, force: true });
  });

  async function put(type: string, id: string, resource: object): Promise<void> {
    await database.query(
      `INSERT INTO resource (type, id, version, last_updated, body) VALUES ($1, $2, 1, now(), $3)`,
      [type, id, JSON.stringify({ resourceType: type, id, ...resource })],
    );
  }

  async function ask(url: string): Promise<Response> {
    const tokenUrl = `${headwater.base}/auth/token`;
    const body = tokenForm(await client.assertion(tokenUrl));
    const answer = await fetch(tokenUrl, { method: 'POST', body });
    const { access_token: token } = (await answer.json()) as { access_token: string };
    const headers = { authorization: `Bearer ${token}`, prefer: 'respond-async' };
    return fetch(url, { headers: { ...headers, accept: 'application/fhir+json' } });
  }

  async function exported(query: string): Promise<{ manifest: Manifest; lines: string[] }> {
    const accepted = await ask(`${headwater.base}/$export${query}`);
    assert.equal(accepted.status, 202, await accepted.text());
    const statusUrl = accepted.headers.get('content-location') ?? '';
    for (;;) {
      const answer = await ask(statusUrl);
      const text = await answer.text();
      if (answer.status === 202) await delay(50);
      else {
        assert.equal(answer.status, 200, text);
        const manifest = JSON.parse(text) as Manifest;
        const files = [...manifest.output, ...(manifest.deleted ?? []), ...manifest.error];
        const texts = await Promise.all(files.map(async ({ url }) => (await fetch(url)).text()));
        return { manifest, lines: texts.flatMap((one) => one.split('\n').slice(0, -1)).sort() };
      }
    }
  }

  it('is what a client gets whose role requires it, with references that resolve', async () => {
    const { manifest, lines } = await exported('');
    assert.deepEqual(manifest.extension?.access, { deidentified: 'sample' });
    assert.equal(lines.length, 4);
    assert.doesNotMatch(lines.join('\n'), /Planted|"p1"|o-p1|1970-0[12]-02/);
    const resources = lines.map(
      (line) =>
        JSON.parse(line) as { resourceType: string; id: string; subject?: { reference: string } } & Record<
          string,
          string
        >,
    );
    const keys = new Set(resources.map(({ resourceType, id }) => `${resourceType}/${id}`));
    const p1 = `Patient/${createHmac('sha256', 'hash key').update('p1').digest('hex')}`;
    assert.ok(keys.has(p1));
    const observations = resources.filter(({ subject }) => subject);
    for (const { subject } of observations) assert.ok(keys.has(subject?.reference ?? ''));
    for (const { subject, effectiveDateTime = '' } of observations) {
      const patient = resources.find(
        ({ resourceType, id }) => `${resourceType}/${id}` === subject?.reference,
      );
      const apart = Date.parse(effectiveDateTime) - Date.parse(patient?.birthDate ?? '');
      assert.equal(apart, 31 * 86_400_000, 'the interval stays');
    }
  });

  it('has the same bytes if it is asked for by name, and tells deletions by new ids', async () => {
    const first = await exported('');
    const second = await exported(`?_anonymizationConfig=sample&_anonymizationConfigEtag=%22${hash}%22`);
    assert.deepEqual(second.lines, first.lines);
    await database.query(`DELETE FROM resource WHERE id = 'o-p2'`);
    const since = encodeURIComponent(second.manifest.transactionTime);
    const third = await exported(`?_since=${since}`);
    const id = createHmac('sha256', 'hash key').update('o-p2').digest('hex');
    assert.equal(third.lines.filter((line) => line.includes(`"Observation/${id}"`)).length, 1);
    assert.doesNotMatch(third.lines.join('\n'), /o-p2/);
  });

  it('is refused for another sha256 and for an unknown configuration', async () => {
    const url = `${headwater.base}/$export?_anonymizationConfig`;
    assert.equal((await ask(`${url}=sample&_anonymizationConfigEtag=${'0'.repeat(64)}`)).status, 412);
    assert.equal((await ask(`${url}=none`)).status, 403);
  });
});
