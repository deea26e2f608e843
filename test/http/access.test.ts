import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import type { Access } from '../../src/access/access.ts';
import { Validator } from '@seriousme/openapi-schema-validator';
import { HeadwaterError } from '../../src/base/errors.ts';
import { accessOf, TestClient, tokenForm } from '../access/clients.ts';
import { MemoryJobs } from './memory-jobs.ts';
import { runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

/** The four roles of the documentation, without redaction. */
const ROLES = {
  service: {
    export: { levels: ['system', 'patient', 'group'], groups: '*' },
    rules: [{ id: 'all', types: '*', where: 'everything' }],
  },
  research: {
    export: { levels: ['patient', 'group'], groups: '*' },
    rules: [{ id: 'clinical', types: ['Patient', 'Observation'], where: { compartment: 'any' } }],
  },
  sponsor: {
    export: { levels: ['group'], groups: { claim: 'groups' }, maxUnfinished: 1 },
    rules: [
      {
        id: 'arm',
        types: ['Patient', 'Observation', 'Group'],
        where: { group: { claim: 'groups' } },
        shared: 'exclude',
      },
    ],
  },
};

describe('an access file', () => {
  let gateway: RunningGateway;
  let access: Access;
  let path: string;
  let file: { clients: Record<string, { disabled?: boolean; roles: string[] }> };
  const clients = new Map<string, TestClient>();

  before(async () => {
    for (const id of ['warehouse', 'other', 'lab', 'acme', 'narrow', 'nobody'])
      clients.set(id, await TestClient.make(id));
    const entry = async (id: string, roles: string[], more = {}) => ({
      jwks: await clients.get(id)?.jwks(),
      scopes: ['system/*.rs'],
      roles,
      ...more,
    });
    const content = {
      version: 1,
      issuers: { embedded: {} },
      clients: {
        warehouse: await entry('warehouse', ['service']),
        other: await entry('other', ['service']),
        lab: await entry('lab', ['research']),
        acme: await entry('acme', ['sponsor'], { attributes: { groups: ['arm-a'] } }),
        narrow: await entry('narrow', ['service'], { scopes: ['system/Patient.rs', 'system/Group.rs'] }),
        nobody: await entry('nobody', ['service'], { disabled: true }),
      },
      roles: ROLES,
    };
    file = content;
    gateway = await runGateway({}, new MemoryJobs(20), async (url) => {
      const opened = await accessOf(content, { baseUrl: `${url}/fhir` });
      path = opened.path;
      access = opened.access;
      return opened.access;
    });
  });
  after(() => gateway.stop());

  async function tokenOf(id: string, scope?: string): Promise<string> {
    const response = await issue(
      await (clients.get(id) ?? assert.fail(id)).assertion(access.tokenUrl),
      scope,
    );
    const { access_token: token } = (await response.json()) as { access_token?: string };
    return token ?? assert.fail(`${id} gets no token`);
  }

  function issue(assertion: string, scope?: string): Promise<Response> {
    return fetch(access.tokenUrl, { method: 'POST', body: tokenForm(assertion, scope) });
  }

  async function ask(
    id: string,
    url: string,
    init: { method?: string; prefer?: string } = {},
  ): Promise<Response> {
    const { method = 'GET', prefer = 'respond-async' } = init;
    return gateway.ask(url, { method, headers: { prefer, authorization: `Bearer ${await tokenOf(id)}` } });
  }

  async function refused(response: Response, status: number, code: string, says: RegExp): Promise<void> {
    const text = await response.text();
    assert.equal(response.status, status, text);
    const {
      issue: [first],
    } = JSON.parse(text) as { issue: { code: string; diagnostics: string }[] };
    assert.equal(first?.code, code);
    assert.match(first.diagnostics, says);
  }

  it('is announced at the base and at the root', async () => {
    for (const at of ['/.well-known/smart-configuration', '/fhir/.well-known/smart-configuration']) {
      const found = (await (await fetch(gateway.url + at)).json()) as Record<string, unknown>;
      assert.equal(found['token_endpoint'], `${gateway.url}/fhir/auth/token`);
      assert.deepEqual(found['grant_types_supported'], ['client_credentials']);
      assert.deepEqual(found['token_endpoint_auth_methods_supported'], ['private_key_jwt']);
      assert.deepEqual(found['token_endpoint_auth_signing_alg_values_supported'], ['RS384', 'ES384']);
      for (const capability of ['client-confidential-asymmetric', 'permission-v1', 'permission-v2'])
        assert((found['capabilities'] as string[]).includes(capability), capability);
    }
  });

  it('is in the documents about the server', async () => {
    const statement = (await (await fetch(`${gateway.url}/fhir/metadata`)).json()) as {
      rest: { security?: { service: { coding: { code: string }[] }[] } }[];
    };
    assert.equal(statement.rest[0]?.security?.service[0]?.coding[0]?.code, 'SMART-on-FHIR');
    const document = (await (await fetch(`${gateway.url}/openapi.json`)).json()) as Record<string, unknown>;
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    assert.ok(valid, JSON.stringify(errors));
    assert.deepEqual(document['security'], [{ token: [] }]);
    assert('/fhir/auth/token' in (document['paths'] as object));
  });

  it('is not there in an open server', async () => {
    const open = await runGateway();
    try {
      assert.equal((await fetch(`${open.url}/.well-known/smart-configuration`)).status, 404);
      assert.equal((await fetch(`${open.url}/fhir/auth/token`, { method: 'POST' })).status, 404);
    } finally {
      await open.stop();
    }
  });

  it('asks every request for a token, and tells no reason for a wrong one', async () => {
    for (const [method, url] of [
      ['GET', '/fhir/$export'],
      ['POST', '/fhir/$export'],
      ['GET', '/fhir/Patient/$export'],
      ['GET', '/fhir/Group/g/$export'],
      ['GET', '/fhir/$export-status/job-1'],
      ['DELETE', '/fhir/$export-status/job-1'],
    ] as const) {
      const without = await gateway.ask(url, { method });
      assert.equal(without.headers.get('www-authenticate'), 'Bearer realm="headwater"');
      await refused(without, 401, 'login', /access token/);
      for (const authorization of ['Bearer x', `Bearer ${'x'.repeat(9_000)}`, 'Bearer a.b.c']) {
        const wrong = await gateway.ask(url, { method, headers: { authorization } });
        assert.equal(wrong.headers.get('www-authenticate'), 'Bearer error="invalid_token"');
        await refused(wrong, 401, 'unknown', /^The access token is not valid here\.$/);
      }
    }
    await refused(
      await gateway.ask(`/fhir/$export?access_token=${await tokenOf('warehouse')}`),
      401,
      'login',
      /token/,
    );
    const lower = await gateway.ask('/fhir/$export', {
      headers: { authorization: `bearer ${await tokenOf('warehouse')}` },
    });
    assert.equal(lower.status, 202);
  });

  it('lets an expired token know that it is', async () => {
    const token = await tokenOf('warehouse');
    await assert.rejects(
      accessOf(file, { baseUrl: `${gateway.url}/fhir`, clock: () => Date.now() + 301_000 }).then(
        ({ access: later }) => later.authenticate([`Bearer ${token}`]),
      ),
      { code: 'expired-token' },
    );
  });

  it('permits each role its levels, groups and types, and says which one it does not', async () => {
    assert.equal((await ask('warehouse', '/fhir/$export')).status, 202);
    await refused(
      await ask('lab', '/fhir/$export'),
      403,
      'forbidden',
      /does not permit exports of the system level/,
    );
    assert.equal((await ask('lab', '/fhir/Patient/$export?_type=Observation')).status, 202);
    await refused(
      await ask('lab', '/fhir/Patient/$export?_type=Condition'),
      403,
      'forbidden',
      /_type: .*Condition/,
    );
    assert.equal((await ask('acme', '/fhir/Group/arm-a/$export')).status, 202);
    const known = await ask('acme', '/fhir/Group/arm-b/$export');
    const text = (await known.text()).replace('arm-b', 'X');
    const unknown = (await (await ask('acme', '/fhir/Group/none/$export')).text()).replace('none', 'X');
    assert.equal(known.status, 403);
    assert.equal(text, unknown, 'whether there is such a group is not told');
  });

  it('takes scopes as the limit, and names the one that is missing', async () => {
    const response = await ask('narrow', '/fhir/Patient/$export?_type=Observation');
    assert.equal(
      response.headers.get('www-authenticate'),
      'Bearer error="insufficient_scope", scope="system/Observation.rs"',
    );
    await refused(response, 403, 'forbidden', /system\/Observation\.rs/);
    assert.equal((await ask('narrow', '/fhir/Patient/$export')).status, 202);
    const { grant } = [...gateway.jobs.views.values()].at(-1) as unknown as { grant: { types: string[] } };
    assert.deepEqual(grant.types, ['Group', 'Patient']);
  });

  it('leaves out what is not permitted with lenient handling, but never everything', async () => {
    const prefer = 'respond-async, handling=lenient';
    const some = await ask('lab', '/fhir/Patient/$export?_type=Observation,Condition', { prefer });
    assert.equal(some.status, 202);
    const job = [...gateway.jobs.views.values()].at(-1);
    assert.deepEqual(job?.parameters.types, ['Observation']);
    assert.match(job.parameters.warnings.join(), /Condition.*left out/);
    assert.equal((await ask('lab', '/fhir/Patient/$export?_type=Condition', { prefer })).status, 403);
  });

  it('shows a job to its client only: to others it does not exist', async () => {
    const accepted = await ask('warehouse', '/fhir/$export');
    const status = accepted.headers.get('content-location') ?? '';
    const jobId = status.slice(status.lastIndexOf('/') + 1);
    assert.equal((await ask('warehouse', status)).status, 202);
    for (const method of ['GET', 'DELETE'] as const) {
      const foreign = await ask('other', status, { method });
      const never = await ask('other', status.replace(jobId, 'job-never'), { method });
      assert.equal(foreign.status, 404);
      assert.equal(
        (await foreign.text()).replaceAll(jobId, 'X'),
        (await never.text()).replaceAll('job-never', 'X'),
      );
    }
    assert.equal((await ask('warehouse', status, { method: 'DELETE' })).status, 202);
  });

  it('gives a disabled client no token', async () => {
    const response = await issue(await (clients.get('nobody') ?? assert.fail()).assertion(access.tokenUrl));
    assert.equal(response.status, 401);
    assert.deepEqual(await response.json(), {
      error: 'invalid_client',
      error_description: 'the client could not be authenticated',
    });
  });

  it('takes effect when it is changed, and keeps the one before while it is wrong', async () => {
    const accepted = await ask('lab', '/fhir/Patient/$export');
    const status = accepted.headers.get('content-location') ?? '';
    const token = await tokenOf('lab');
    const withToken = () => gateway.ask(status, { headers: { authorization: `Bearer ${token}` } });
    await writeFile(path, '{');
    await access.reload();
    assert.equal((await withToken()).status, 202);
    const ready = (await (await fetch(`${gateway.url}/readyz`)).json()) as { problem?: string };
    assert.match(ready.problem ?? '', /access file is wrong/);
    const lab = file.clients['lab'] ?? assert.fail();
    await writeFile(
      path,
      JSON.stringify({ ...file, clients: { ...file.clients, lab: { ...lab, roles: ['sponsor'] } } }),
    );
    await access.reload();
    assert.equal(access.problem, undefined);
    assert.equal((await withToken()).status, 403, 'the role is gone');
    await writeFile(
      path,
      JSON.stringify({ ...file, clients: { ...file.clients, lab: { ...lab, disabled: true } } }),
    );
    await access.reload();
    await refused(await withToken(), 403, 'forbidden', /disabled/);
    await writeFile(path, JSON.stringify(file));
    await access.reload();
    assert.equal((await withToken()).status, 202);
  });

  it('puts each refusal into the audit log, up to a hundred a minute of one address, and counts the others', async () => {
    const { tick, restore } = fakeTimers();
    const asked = await runGateway(
      {},
      new MemoryJobs(),
      async (url) => (await accessOf(file, { baseUrl: `${url}/fhir` })).access,
    );
    try {
      for (let i = 0; i < 130; i++)
        assert.equal(
          (await asked.ask('/fhir/$export', { headers: { authorization: 'Bearer x' } })).status,
          401,
        );
      const kinds = asked.audited.map(({ kind }) => kind);
      assert.equal(kinds.length, 100);
      assert.ok(kinds.every((kind) => kind === 'export.refused'));
      const [first] = asked.audited;
      assert.match(first?.reason ?? '', /^invalid-token: /);
      assert.equal(first?.agent?.address, '127.0.0.1');
      tick();
      assert.deepEqual(asked.audited.at(-1)?.details, [['refused besides', '30']]);
    } finally {
      await asked.stop();
      restore();
    }
  });

  it('names the client in the audit log when its rights do not suffice, and no value of its searches', async () => {
    gateway.audited.length = 0;
    await ask('lab', '/fhir/$export');
    const entry = gateway.audited.at(-1);
    assert.equal(entry?.kind, 'export.refused');
    assert.equal(entry.agent?.client, 'lab');
    assert.match(entry.reason ?? '', /system level/);
    await ask('lab', '/fhir/Patient/$export?_typeFilter=Condition%3Fcode=Planted');
    assert.doesNotMatch(JSON.stringify(gateway.audited), /Planted/);
  });

  it('refuses also while the audit log cannot be written, and issues no token then', async () => {
    const token = await tokenOf('lab');
    gateway.auditFailure.error = new HeadwaterError('unavailable', 'PostgreSQL is away');
    try {
      assert.equal(
        (await gateway.ask('/fhir/$export', { headers: { authorization: 'Bearer x' } })).status,
        401,
      );
      assert.equal(
        (await gateway.ask('/fhir/$export', { headers: { authorization: `Bearer ${token}` } })).status,
        403,
      );
      const assertion = await (clients.get('lab') ?? assert.fail()).assertion(access.tokenUrl);
      assert.equal((await issue(assertion)).status, 503);
    } finally {
      gateway.auditFailure.error = undefined;
    }
  });
});

/** Holds the timers of a minute that are set from now on, until `tick` runs them. */
function fakeTimers(): { tick(): void; restore(): void } {
  const real = globalThis.setTimeout;
  const held: (() => void)[] = [];
  const fake = (work: () => void, ms: number) => {
    if (ms !== 60_000) return real(work, ms);
    held.push(work);
    return { unref: () => undefined };
  };
  globalThis.setTimeout = fake as unknown as typeof setTimeout;
  return {
    tick: () => held.splice(0).forEach((work) => work()),
    restore: () => void (globalThis.setTimeout = real),
  };
}
