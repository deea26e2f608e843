import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { presetOf } from '../../src/capture/presets/presets.ts';
import { Source } from '../../src/capture/source.ts';
import { verify } from '../../src/main/source-verify.ts';
import type { Verified } from '../../src/main/source-verify.ts';
import { Random } from '../e2e/random.ts';
import { Deployment } from '../faults/deployment.ts';
import { HFS, PlainWriter } from '../servers/plain/plain-writer.ts';
import { sharedStack } from '../support/stack.ts';

type Answer = string | undefined;

describe('a comparison of a source with its API', function () {
  this.timeout(60_000);
  let deployment: Deployment;
  let client: pg.Client;
  let api: Server;
  const writer = new PlainWriter(HFS);
  /** What the API answers, as JSON by `Type/id`. */
  const answers = new Map<string, string>();

  before(async () => {
    deployment = await Deployment.create(sharedStack(), writer.settings);
    client = new pg.Client({ connectionString: deployment.databaseUrl });
    await client.connect();
    await writer.install(client);
    const random = new Random(1);
    for (let i = 0; i < 60; i++) await writer.step(client, random);
    api = createServer((request, response) => {
      const [path = '', query] = (request.url ?? '').slice(1).split('?');
      const of = [...answers.keys()].filter((key) => key.startsWith(`${path}/`));
      const answer = query === '_summary=count' ? JSON.stringify({ total: of.length }) : answers.get(path);
      response.writeHead(answer === undefined ? 404 : 200).end(answer ?? '{}');
    });
    await new Promise<void>((done) => void api.listen(0, '127.0.0.1', done));
  });

  beforeEach(() => {
    answers.clear();
    for (const [key, resource] of writer.answers) answers.set(key, JSON.stringify(resource));
  });

  after(async () => {
    api.close();
    await client.end();
    await deployment.remove();
  });

  function compare(): Promise<Verified> {
    const { slot, publication, topicPrefix: prefix } = deployment.settings;
    const preset = presetOf({ preset: 'hfs', table: 'public.resources', tenants: ['one'] });
    const source = new Source({ url: deployment.databaseUrl, slot, publication, prefix, preset });
    const { port } = api.address() as AddressInfo;
    const base = `http://127.0.0.1:${port}`;
    const to = { base, token: undefined, sample: 1_000 };
    return verify({ source, maxBytes: 1e6 }, to, AbortSignal.timeout(30_000));
  }

  it('finds nothing where they are equal', async () => {
    const { differences, compared } = await compare();
    assert.deepEqual(differences, []);
    assert.equal(compared, writer.answers.size);
  });

  const planted: readonly [what: string, change: (body: string) => Answer, difference: RegExp][] = [
    ['a missing resource', () => undefined, /the API answers 404/],
    [
      'another version',
      (body) => body.replace(/"versionId":"\d+"/, '"versionId":"99"'),
      /^meta\.versionId differs/,
    ],
    [
      'a lost tag',
      (body) => body.replace('"meta":{', '"meta":{"tag":[{"code":"x"}],'),
      /meta\.tag is given by the API only/,
    ],
    ['a time of another zone', (body) => body.replace(/T(\d\d):/, 'T77:'), /meta\.lastUpdated differs/],
    [
      'other digits of a number',
      (body) => body.replace(/\.5,"unit"/, '.50,"unit"'),
      /valueQuantity\.value differs/,
    ],
    ['another reference', (body) => body.replace('"Patient/', '"Patient/x'), /subject\.reference differs/],
    [
      'another choice type',
      (body) => body.replace('valueQuantity', 'valueRange'),
      /valueQuantity is in the export only/,
    ],
    [
      'a member of meta too many',
      (body) => body.replace('"meta":{', '"meta":{"author":{},'),
      /meta\.author is given by the API only/,
    ],
    [
      'another length of a list',
      (body) => body.replace('"note":[', '"note":[{},'),
      /note has 1 items in the export and 2 by the API/,
    ],
  ];
  for (const [what, change, difference] of planted) {
    it(`finds ${what}`, async () => {
      const [key = '', body = ''] = [...answers].find(([, text]) => text.includes('valueQuantity')) ?? [];
      const changed = change(body);
      assert.notEqual(changed, body);
      if (changed === undefined) answers.delete(key);
      else answers.set(key, changed);
      const found = (await compare()).differences.filter((one) => one.key === key);
      assert.equal(found.length, 1);
      assert.match(found[0]?.difference ?? '', difference);
    });
  }

  it('finds a resource that only the API has, by the counts', async () => {
    answers.set('Patient/only-there', '{}');
    const { differences } = await compare();
    assert.deepEqual(
      differences.map(({ key }) => key),
      ['Patient'],
    );
  });
});
