import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { jobsThatHeld } from '../../src/audit/disclosures.ts';
import { verifyChain } from '../../src/audit/verify.ts';
import { offset } from '../../src/base/positions.ts';
import type { AuditRecord } from '../../src/events/audit.ts';
import type { Announced } from '../../src/events/announced.ts';
import { controlCodecs } from '../../src/events/control-codec.ts';
import { readAnnounced } from '../../src/jobs/announced.ts';
import type { Manifest } from '../../src/manifest/manifest.ts';
import { TestClient, tokenForm } from '../access/clients.ts';
import { OidcIssuer } from '../support/oidc-issuer.ts';
import { freePort } from '../../src/stack/ports.ts';
import { until } from '../support/until.ts';
import { explain } from '../../src/main/access-explain.ts';
import { Headwater } from './headwater.ts';

interface Exported {
  readonly status: number;
  readonly manifest: Manifest;
  /** `Type/id`, sorted. */
  readonly output: readonly string[];
  readonly deleted: readonly string[];
  readonly problems: readonly string[];
  readonly sha256: readonly string[];
  readonly text: string;
}

const KEY = 'a key of the tests that is long enough';

const ROLES = {
  service: {
    export: { levels: ['system', 'patient', 'group'], groups: '*' },
    rules: [{ id: 'all', types: '*', where: 'everything' }],
  },
  research: {
    export: { levels: ['patient', 'group'], groups: '*' },
    rules: [
      { id: 'no-lists', effect: 'deny', types: ['Group'], where: 'everything' },
      {
        ...{ id: 'patients', types: ['Patient'], where: { compartment: 'any' } },
        redact: [
          { path: ['name', 'telecom'], do: 'remove' },
          { path: 'birthDate', do: 'year' },
        ],
      },
      { id: 'clinical', types: ['Observation'], where: { compartment: 'any' } },
    ],
  },
  sponsor: {
    export: { levels: ['group'], groups: { claim: 'groups' } },
    rules: [
      {
        id: 'own-arm',
        types: ['Patient', 'Observation'],
        where: { group: { claim: 'groups' } },
        shared: 'exclude',
      },
    ],
  },
  nursing: {
    export: { levels: ['patient'] },
    rules: [
      {
        ...{ id: 'patients', types: ['Patient'], where: { compartment: 'any' } },
        redact: [
          { path: 'name', do: 'random', key: 'trial' },
          { path: 'birthDate', do: 'mask' },
          { path: 'identifier', do: 'hash', key: 'trial' },
          { path: 'address', do: 'remove', keep: ['country'] },
        ],
      },
      {
        ...{ id: 'measured', types: ['Observation'] },
        where: { compartment: 'any', criteria: ['Observation?status=final'] },
      },
    ],
  },
  patient: {
    export: { levels: ['patient'], maxUnfinished: 1 },
    rules: [
      { id: 'shared', effect: 'deny', types: ['Group', 'List'], where: 'everything' },
      { id: 'own-record', types: '*', where: { patient: 'self' }, shared: 'exclude' },
      { id: 'context', types: ['Practitioner'], where: 'everything' },
    ],
  },
};

for (const fileTokens of [false, true])
  describe(`an access file, with files ${fileTokens ? 'for tokens' : 'by signed URLs'}`, function () {
    this.timeout(120_000);
    let headwater: Headwater;
    let database: pg.Client;
    let folder: string;
    let portal: OidcIssuer;
    const clients = new Map<string, TestClient>();
    /** Tokens and assertions that were sent, and how many of Headwater's own tokens were among them. */
    const secrets: string[] = [];
    let issued = 0;
    /** The patients in the output of each export, by job. */
    const held = new Map<string, Set<string>>();
    let downloads = 0;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'headwater-access-'));
      for (const id of ['warehouse', 'lab', 'acme', 'ward']) clients.set(id, await TestClient.make(id));
      const port = await freePort();
      const base = `http://127.0.0.1:${String(port)}/fhir`;
      portal = await OidcIssuer.start({
        ...{ format: 'jwt', audience: base },
        claims: { roles: ['member'], patient: 'Patient/p1' },
      });
      const entry = async (id: string, role: string, more = {}) => ({
        ...{ jwks: await clients.get(id)?.jwks(), scopes: ['system/*.rs'], roles: [role], ...more },
      });
      const file = {
        version: 1,
        issuers: {
          embedded: {},
          external: [
            {
              ...{ name: 'portal', issuer: portal.url, validate: 'jwt', audience: base },
              ...{ roles: { member: 'patient' }, allowedJwksHosts: ['localhost'] },
            },
          ],
        },
        clients: {
          warehouse: await entry('warehouse', 'service'),
          lab: await entry('lab', 'research'),
          ward: await entry('ward', 'nursing'),
          acme: await entry('acme', 'sponsor', { attributes: { groups: ['arm-a'] } }),
        },
        roles: ROLES,
      };
      await writeFile(join(folder, 'access.json'), JSON.stringify(file));
      await writeFile(join(folder, 'trial'), KEY);
      headwater = await Headwater.make(false, undefined, {
        HEADWATER_HTTP_PORT: String(port),
        HEADWATER_ACCESS_FILE: join(folder, 'access.json'),
        HEADWATER_FILE_TOKENS: String(fileTokens),
        HEADWATER_KEYS_FOLDER: folder,
      });
      database = await headwater.connect();
      const patient = (id: string): object => ({ subject: { reference: `Patient/${id}` } });
      for (const id of ['p1', 'p2', 'p3']) {
        await put('Patient', id, {
          ...{ name: [{ family: `Planted-${id}` }], birthDate: '1970-01-02' },
          ...{ identifier: [{ value: `SSN-${id}` }], address: [{ line: ['Elm'], country: 'NL' }] },
        });
        await put('Observation', `o-${id}`, {
          ...{ ...patient(id), status: id === 'p1' ? 'final' : 'registered' },
          performer: [{ reference: 'Practitioner/d1' }],
        });
        await put('Condition', `c-${id}`, patient(id));
      }
      await put('Observation', 'o-both', { ...patient('p1'), performer: [{ reference: 'Patient/p2' }] });
      await put('Practitioner', 'd1', {});
      await put('Practitioner', 'd2', {});
      await group('arm-a', 'p1');
      await group('arm-b', 'p2', 'p3');
      await headwater.startServing();
      await headwater.startCapture();
    });
    after(async () => {
      await database.end();
      await headwater.remove();
      await portal.stop();
      await rm(folder, { recursive: true, force: true });
    });

    async function put(type: string, id: string, resource: object): Promise<void> {
      await database.query(
        `INSERT INTO resource (type, id, version, last_updated, body) VALUES ($1, $2, 1, now(), $3)
         ON CONFLICT (type, id) DO UPDATE SET version = resource.version + 1, last_updated = now(), body = $3`,
        [type, id, JSON.stringify({ resourceType: type, id, ...resource })],
      );
    }

    function group(id: string, ...patients: readonly string[]): Promise<void> {
      return put('Group', id, {
        member: patients.map((one) => ({ entity: { reference: `Patient/${one}` } })),
      });
    }

    async function tokenOf(id: string): Promise<string> {
      if (id === 'portal') return kept(await portal.token('patient/*.rs'));
      const url = `${headwater.base}/auth/token`;
      const assertion = await (clients.get(id) ?? assert.fail(id)).assertion(url);
      const answer = await fetch(url, { method: 'POST', body: tokenForm(assertion) });
      secrets.push(assertion);
      issued++;
      return kept(((await answer.json()) as { access_token: string }).access_token);
    }

    function kept(token: string): string {
      secrets.push(token);
      return token;
    }

    async function ask(id: string, url: string, method = 'GET'): Promise<Response> {
      const headers = { authorization: `Bearer ${await tokenOf(id)}`, prefer: 'respond-async' };
      return fetch(url, { method, headers: { ...headers, accept: 'application/fhir+json' } });
    }

    /** The export of a client, read as its client reads it. */
    async function exported(id: string, path: string): Promise<Exported> {
      const accepted = await ask(id, `${headwater.base}/${path}`);
      assert.equal(accepted.status, 202, await accepted.text());
      const statusUrl = accepted.headers.get('content-location') ?? '';
      for (;;) {
        const answer = await ask(id, statusUrl);
        const text = await answer.text();
        if (answer.status === 202) await delay(50);
        else {
          assert.equal(answer.status, 200, text);
          const found = await read(id, JSON.parse(text) as Manifest);
          held.set(statusUrl.slice(statusUrl.lastIndexOf('/') + 1), patientsIn(found));
          return found;
        }
      }
    }

    async function read(id: string, manifest: Manifest): Promise<Exported> {
      assert.equal(manifest.requiresAccessToken, fileTokens);
      const linesOf = async (files: Manifest['output']): Promise<string[]> => {
        const texts = await Promise.all(
          files.map(async ({ url }) => {
            const file = fileTokens ? await ask(id, url) : await fetch(url);
            const text = await file.text();
            assert.equal(file.status, 200, text);
            downloads++;
            return text;
          }),
        );
        return texts.flatMap((text) => text.split('\n').slice(0, -1));
      };
      const output = await linesOf(manifest.output);
      const deleted = await linesOf(manifest.deleted ?? []);
      const problems = await linesOf(manifest.error);
      return {
        ...{ status: 200, manifest },
        output: output
          .map((line) => JSON.parse(line) as { resourceType: string; id: string })
          .map((one) => `${one.resourceType}/${one.id}`)
          .sort(),
        deleted: deleted
          .map((line) => JSON.parse(line) as { entry: { request: { url: string } }[] })
          .map(({ entry }) => entry[0]?.request.url ?? '')
          .sort(),
        problems: problems.map(
          (line) => (JSON.parse(line) as { issue: { diagnostics: string }[] }).issue[0]?.diagnostics ?? '',
        ),
        text: [...output, ...problems].join('\n'),
        sha256: manifest.output.map(({ extension }) => extension.sha256),
      };
    }

    it('lets the service have everything, byte for byte as the source holds it', async () => {
      const { output, sha256 } = await exported('warehouse', '$export');
      assert.equal(output.length, 14);
      const { rows } = await database.query<{ body: string }>(
        `SELECT body FROM resource WHERE type = 'Practitioner' ORDER BY id DESC`,
      );
      const texts = [rows, rows.toReversed()].map((some) => some.map(({ body }) => `${body}\n`).join(''));
      assert(texts.some((text) => sha256.includes(createHash('sha256').update(text).digest('hex'))));
    });

    it('lets research have what is about patients, of the types of its rules', async () => {
      const { output, text } = await exported('lab', 'Patient/$export');
      assert.deepEqual(output, [
        ...['Observation/o-both', 'Observation/o-p1', 'Observation/o-p2', 'Observation/o-p3'],
        ...['Patient/p1', 'Patient/p2', 'Patient/p3'],
      ]);
      assert.doesNotMatch(text, /Planted|1970-01/);
      assert.equal(text.match(/"birthDate":"1970"/g)?.length, 3);
      assert.equal(text.match(/"code":"REDACTED"/g)?.length, 3, 'on Patients, and on nothing else');
      const search = await ask(
        'lab',
        `${headwater.base}/Patient/$export?_typeFilter=Patient%3Fbirthdate=ge1960`,
      );
      assert.equal(search.status, 403);
      assert.match(await search.text(), /Patient\?birthdate looks at birthDate/);
      assert.equal((await ask('lab', `${headwater.base}/$export`)).status, 403);
      assert.equal((await ask('lab', `${headwater.base}/Patient/$export?_type=Condition`)).status, 403);
    });

    it('lets nursing have what its criteria let through, with masked, hashed and invented elements', async () => {
      const { output, text } = await exported('ward', 'Patient/$export');
      assert.deepEqual(output, ['Observation/o-p1', 'Patient/p1', 'Patient/p2', 'Patient/p3']);
      assert.doesNotMatch(text, /Planted|1970|SSN|Elm/);
      assert.equal(text.match(/"valueCode":"masked"/g)?.length, 3);
      assert.equal(text.match(/"country":"NL"/g)?.length, 3);
      assert.match(text, /"value":"[\da-f]{32,}"/);
    });

    it('lets a sponsor have its arm, without what names others, and tells it who left, once', async () => {
      const first = await exported('acme', 'Group/arm-a/$export');
      assert.deepEqual(first.output, ['Observation/o-p1', 'Patient/p1']);
      assert.equal((await ask('acme', `${headwater.base}/Group/arm-b/$export`)).status, 403);
      await group('arm-a', 'p3');
      const since = (manifest: Manifest): string => encodeURIComponent(manifest.transactionTime);
      const second = await exported('acme', `Group/arm-a/$export?_since=${since(first.manifest)}`);
      assert.deepEqual(second.output, ['Observation/o-p3', 'Patient/p3']);
      assert.deepEqual(second.deleted, ['Observation/o-p1', 'Patient/p1']);
      assert.deepEqual(second.problems, []);
      const third = await exported('acme', `Group/arm-a/$export?_since=${since(second.manifest)}`);
      assert.deepEqual([third.output, third.deleted], [[], []]);
      await group('arm-a', 'p1');
    });

    it('lets a patient have the own record, at both addresses, and no other', async () => {
      const own = ['Condition/c-p1', 'Observation/o-p1', 'Patient/p1'];
      assert.deepEqual((await exported('portal', 'Patient/$export')).output, own);
      assert.deepEqual((await exported('portal', 'Patient/p1/$export')).output, own);
      const types = 'Condition,Observation,Patient,Practitioner';
      assert.deepEqual((await exported('portal', `Patient/$export?_type=${types}`)).output, [
        ...own,
        'Practitioner/d1',
      ]);
      for (const path of ['Patient/p2/$export', 'Patient/none/$export', '$export', 'Group/arm-a/$export'])
        assert.equal((await ask('portal', `${headwater.base}/${path}`)).status, 403, path);
    });

    it('gives files and jobs to their client only', async () => {
      const { manifest } = await exported('warehouse', '$export?_type=Patient');
      const url = manifest.output[0]?.url ?? assert.fail();
      if (fileTokens) {
        assert.equal((await fetch(url)).status, 401);
        assert.equal((await ask('lab', url)).status, 404);
        assert.equal((await ask('warehouse', url.replace('Patient-', 'Condition-'))).status, 404);
      } else {
        assert.equal((await fetch(url.replace(/expires=\d+/, 'expires=9999999999'))).status, 404);
        assert.equal((await fetch(url.replace(/\?.*/, ''))).status, 404);
      }
    });

    it('lists the Groups that a client may export, as the log has them now', async () => {
      const list = async (id: string): Promise<string> => (await ask(id, `${headwater.base}/Group`)).text();
      assert.match(await list('warehouse'), /"total":2,.*"id":"arm-a".*Patient\/p1.*"id":"arm-b"/);
      assert.match(await list('acme'), /"total":1,.*"id":"arm-a"/);
      assert.doesNotMatch(await list('acme'), /Patient\//);
      await group('arm-c', 'p3');
      await until('the new Group', async () => (await list('warehouse')).includes('"total":3'));
      await database.query(`DELETE FROM resource WHERE type = 'Group' AND id = 'arm-c'`);
      await until('the Group to go', async () => (await list('warehouse')).includes('"total":2'));
      assert.equal((await ask('warehouse', `${headwater.base}/Group/arm-c`)).status, 404);
    });

    it('is explained for a resource, as an export would judge it', async () => {
      const file = join(folder, 'access.json');
      const log = await headwater.log.resources();
      const of = (as: string, level: 'patient' | 'group', resource: string, groupId?: string) =>
        explain(
          { file, keysFolder: folder },
          { as, level, group: groupId, resource },
          log,
          AbortSignal.timeout(20_000),
        );
      const patient = await of('lab', 'patient', 'Patient/p1');
      assert.equal(patient.by, 'research/patients');
      assert.match(patient.line ?? '', /"birthDate":"1970"/);
      assert.doesNotMatch(patient.line ?? '', /Planted/);
      const condition = await of('lab', 'patient', 'Condition/c-p1');
      assert.equal(condition.by, undefined);
      assert(condition.rules.every(({ says }) => says === 'is about other types'));
      assert.equal((await of('acme', 'group', 'Observation/o-p1', 'arm-a')).by, 'sponsor/own-arm');
      assert.equal(
        (await of('acme', 'group', 'Observation/o-both', 'arm-a')).by,
        undefined,
        'it names another',
      );
      await assert.rejects(of('acme', 'group', 'Patient/p2', 'arm-b'), { code: 'forbidden' });
      await assert.rejects(of('lab', 'patient', 'Patient/none'), { code: 'not-found' });
    });

    it('says of an increment whose client has no export of that time that it may not be whole', async () => {
      const { problems } = await exported('lab', 'Patient/$export?_since=2020-01-01T00:00:00Z');
      assert.match(problems.join(), /no export of that time/);
    });

    it('lets no login of the database ask for an export', async () => {
      const message = {
        ...{ kind: 'ExportRequested', jobId: 'forged', clientId: 'x', acceptedAt: 0 },
        ...{ requestUrl: 'http://x', parameters: { types: [], outputFormat: 'ndjson' } },
      };
      await database.query('SELECT pg_logical_emit_message(true, $1, $2::text)', [
        headwater.settings.topicPrefix,
        JSON.stringify(message),
      ]);
      await exported('warehouse', '$export?_type=Patient'); // capture has passed it
      const { rows } = await database.query(`SELECT FROM ${headwater.tables.job} WHERE job_id = 'forged'`);
      assert.equal(rows.length, 0);
    });

    async function recordsOf(topic: string): Promise<{ key: string; value: Buffer }[]> {
      const { reader } = headwater.log;
      const found: { key: string; value: Buffer }[] = [];
      for (const [partition, to] of (await reader.ends(topic)).entries()) {
        const range = { topic, partition, from: offset(0), to };
        for await (const records of reader.read(range, AbortSignal.timeout(20_000)))
          found.push(...records.map(({ key, value }) => ({ key: key.toString(), value })));
      }
      return found;
    }

    it('lets no writer of Kafka ask for an export, by a command or by a task', async () => {
      const { names, publisher } = headwater.log;
      const { ids } = await headwater.log.codecs();
      const forger = controlCodecs(ids, 'a secret that is not the one of this installation');
      const { control } = await headwater.log.codecs();
      const [genuine] = await recordsOf(names.tasks.quick);
      const task = { ...control.task.decode(genuine?.value ?? assert.fail()), taskId: '9999' };
      const cancel = { kind: 'ExportCancelRequested', jobId: task.jobId, cancelledAt: 1 } as const;
      await publisher.append([
        { topic: names.tasks.quick, key: `${task.jobId}/9999`, value: forger.task.encode(task) },
        { topic: names.commands, key: task.jobId, value: forger.command.encode(cancel) },
      ]);
      await until('both to be left out', () =>
        ['a task is left out', 'a command is left out'].every((line) =>
          headwater.trouble.some((one) => one.includes(line)),
        ),
      );
      const { rows } = await database.query<{ state: string }>(
        `SELECT state FROM ${headwater.tables.job} WHERE job_id = $1`,
        [task.jobId],
      );
      assert.deepEqual(rows, [{ state: 'completed' }]);
    });

    describe('its audit log', () => {
      async function audited(): Promise<(AuditRecord & { readonly key: string })[]> {
        const { control } = await headwater.log.codecs();
        const found = await recordsOf(headwater.log.names.audit);
        return found.map(({ key, value }) => ({ key, ...control.audit.decode(value) }));
      }

      async function announcedNow(): Promise<Announced> {
        const { control } = await headwater.log.codecs();
        const { reader, names } = headwater.log;
        const place = { reader, topic: names.announced, codec: control.announced };
        return readAnnounced(place, AbortSignal.timeout(20_000));
      }

      async function isComplete(): Promise<boolean> {
        const { audit, announcement } = headwater.tables;
        const { rows } = await database.query<{ waiting: string; last: string | null }>(
          `SELECT (SELECT count(*) FROM ${audit} WHERE n IS NULL) + (SELECT count(*) FROM ${announcement}) AS waiting,
             (SELECT max(n) FROM ${audit}) AS last`,
        );
        return rows[0]?.waiting === '0' && Number(rows[0].last) === (await announcedNow()).audit.row;
      }

      before(() => until('the audit log to be complete', isComplete));

      it('has each thing that happened once', async () => {
        const records = await audited();
        assert.equal(new Set(records.map(({ id }) => id)).size, records.length);
        const of = (kind: string) => records.filter((one) => one.kind === kind);
        for (const kind of ['export.requested', 'export.planned', 'export.completed']) {
          const jobs = of(kind).map(({ key }) => key);
          assert.equal(new Set(jobs).size, jobs.length, kind);
          for (const job of held.keys()) assert.ok(jobs.includes(job), `${kind} of ${job}`);
        }
        assert.equal(of('manifest.read').length, held.size);
        assert.equal(of('file.downloaded').length, downloads);
        assert.equal(of('token.issued').length, issued);
        assert.equal(of('message.forged').length, 1);
        assert.ok(of('policy.loaded').length > 0);
        assert.ok(of('export.refused').length > 5);
        assert.equal(of('file.refused').length, fileTokens ? 3 : 2);
      });

      it('says who exported, with which token, under which policy, grant and rule, and how much', async () => {
        const [completed] = (await audited()).filter(
          ({ kind, fhir }) => kind === 'export.completed' && fhir.includes('"value":"lab"'),
        );
        const text = completed?.fhir.toString() ?? assert.fail();
        for (const part of [
          'urn:ietf:params:oauth:jti:',
          'urn:headwater:policy:sha256:',
          'urn:headwater:grant:sha256:',
          '"role":[{"text":"research"}]',
          '"rulePath:Observation","valueString":"research/clinical:allow"',
          '"count:Observation","valueString":"4"',
        ])
          assert.ok(text.includes(part), `${part} is not in ${text}`);
        assert.match(text, /"type":"file","valueString":"[^"]*Patient[^"]* [\da-f]{64} \d+"/);
      });

      it('is one chain', async () => {
        const { control } = await headwater.log.codecs();
        const { names } = headwater.log;
        const { audit: head } = await announcedNow();
        const values = (await recordsOf(names.audit)).map(({ value }) => ({
          value,
          record: control.audit.decode(value),
        }));
        const { problems, last } = await verifyChain(Readable.from(values), head, 0);
        assert.deepEqual(problems, []);
        assert.equal(last, values.length);
      });

      it('names the exports that held data of a patient, and no other', async () => {
        const { control } = await headwater.log.codecs();
        const disclosed = (await recordsOf(headwater.log.names.disclosures)).map(({ value }) =>
          control.disclosed.decode(value),
        );
        for (const patient of ['p1', 'p2', 'p3']) {
          const jobs = await jobsThatHeld(patient, Readable.from(disclosed));
          for (const [job, patients] of held)
            assert.equal(
              jobs.has(job),
              patients.has(patient),
              `${patient} in ${job} ${[...patients].join()}`,
            );
        }
      });

      it('holds no secret, nor does any other topic or table', async () => {
        const { names } = headwater.log;
        const { request, audit, announcement } = headwater.tables;
        const texts = [headwater.trouble.join('\n')];
        for (const topic of [
          names.audit,
          names.disclosures,
          names.exports,
          names.commands,
          names.status,
          names.tasks.quick,
        ])
          texts.push((await recordsOf(topic)).map(({ value }) => value.toString('latin1')).join('\n'));
        for (const table of [request, audit, announcement])
          texts.push(JSON.stringify((await database.query(`SELECT t::text FROM ${table} t`)).rows));
        assert.ok(secrets.length > 40);
        for (const secret of [...secrets, headwater.settings.urlSecret, KEY])
          for (const [i, text] of texts.entries())
            assert.ok(!text.includes(secret), `a secret is in text ${String(i)}`);
      });
    });
  });

/** The patients that lines of an export are about or name. */
function patientsIn({ text, output }: Exported): Set<string> {
  const named = [...text.matchAll(/"reference":"Patient\/(\w+)"/g)].map(([, id]) => id ?? '');
  return new Set([...named, ...output.flatMap((key) => /^Patient\/(\w+)$/.exec(key)?.[1] ?? [])]);
}
