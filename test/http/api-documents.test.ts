import assert from 'node:assert/strict';
import asyncApiSchemas from '@asyncapi/specs';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv } from 'ajv';
import ajvFormats from 'ajv-formats';
import { exportEvents } from '../../topics/exports.ts';
import { HeadwaterError } from '../../src/base/errors.ts';
import { stamp } from '../../src/base/positions.ts';
import { fileUrl } from '../../src/http/file-url.ts';
import type { MemoryJobs } from './memory-jobs.ts';
import { groupsOf } from './memory-groups.ts';
import { OpenApiDocument } from './openapi-document.ts';
import type { Document } from './openapi-document.ts';
import { runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

const SECRET = 'a secret of more than 32 characters';

describe('the OpenAPI document', () => {
  let gateway: RunningGateway;
  let api: OpenApiDocument;
  beforeEach(async () => {
    gateway = await runGateway({ urlSecret: SECRET }, undefined, undefined, groupsOf(['a', 'b']));
    api = new OpenApiDocument((await (await gateway.ask('/openapi.json')).json()) as Document);
  });
  afterEach(() => gateway.stop());

  it('is valid OpenAPI 3.1', async () => {
    const openApi = new Validator();
    const { valid, errors } = await openApi.validate({ ...structuredClone(api.document) });
    assert.ok(valid, JSON.stringify(errors));
    assert.equal(openApi.version, '3.1');
    assert.deepEqual(api.document.servers, [{ url: gateway.url }]);
    assert.equal(
      (await new Validator().validate({ ...structuredClone(api.document), paths: [] })).valid,
      false,
    );
  });

  it('has every route of the gateway, and no other', () => {
    const { router } = gateway.app.middleware.find((one) => 'router' in one) as unknown as { router: Router };
    const routes = router.stack.flatMap(({ path, methods }) =>
      methods.map((method) => `${method.toLowerCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`),
    );
    assert.ok(routes.length > 20);
    // A route for GET takes HEAD, which is worth a word for files only.
    const withoutHead = (operations: readonly string[]): string[] =>
      [...new Set(operations)].filter((operation) => !operation.startsWith('head ')).sort();
    assert.deepEqual(withoutHead(api.operations), withoutHead(routes));
    for (const head of api.operations.filter((operation) => operation.startsWith('head ')))
      assert.ok(routes.includes(head), head);
  });

  it('has each answer that the gateway gives, and the gateway gives each answer it has', async () => {
    const { jobs } = gateway;
    const ask = async (path: string, init: Parameters<RunningGateway['ask']>[1] = {}): Promise<Response> => {
      const response = await gateway.ask(path, init);
      await api.check(init.method ?? 'GET', response);
      return response;
    };
    await askKickOffs(jobs, ask);
    await askStatus(jobs, ask);
    await askFiles(gateway, ask);
    for (const path of ['/fhir/metadata', '/fhir/OperationDefinition/group-export']) {
      await ask(path);
      await ask(path, { headers: { accept: 'text/turtle' } });
    }
    await ask('/fhir/OperationDefinition/none');
    for (const path of ['/fhir/Group', '/fhir/Group?name=x', '/fhir/Group/a', '/fhir/Group/none'])
      await ask(path);
    for (const path of ['/', '/openapi.json', '/asyncapi.json', '/healthz', '/readyz', '/metrics'])
      await ask(path);
    await ask('/admin/storage/health');
    gateway.checked.directory = import.meta.filename;
    await ask('/admin/storage/health');
    await ask('/admin/storage/health', { headers: { via: '1.1 proxy' } });
    gateway.health.push({ name: 'capture', state: 'waiting', reason: 'ECONNREFUSED', failures: 3 });
    await ask('/readyz');
    assert.deepEqual(api.unseen, []);
  });

  it('would not let pass an answer that it does not have', async () => {
    const { url } = await gateway.ask('/readyz');
    const answered = (body: string, type: string, status = 200): Response =>
      Object.defineProperty(new Response(body, { status, headers: { 'content-type': type } }), 'url', {
        value: url,
      });
    const right = '{"status":"ready","services":[]}';
    await api.check('GET', answered(right, 'application/json'));
    await assert.rejects(
      api.check('GET', answered(right.replace('ready', 'late'), 'application/json')),
      /status/,
    );
    await assert.rejects(api.check('GET', answered(right, 'text/html')), /text\/html/);
    await assert.rejects(api.check('GET', answered(right, 'application/json', 201)), /201/);
    await assert.rejects(api.check('POST', answered(right, 'application/json')), /POST/);
  });

  it('has the answers to failures of its own', async () => {
    for (const failure of [new HeadwaterError('unavailable', 'no database'), new Error('a bug')]) {
      gateway.jobs.failure = failure;
      for (const [path, method] of [
        ['/fhir/$export', 'GET'],
        ['/fhir/Group/g/$export', 'POST'],
        ['/fhir/$export-status/x', 'GET'],
        ['/fhir/$export-status/x', 'DELETE'],
      ] as const) {
        const response = await gateway.ask(path, { method });
        assert.ok(response.status >= 500);
        await api.check(method, response);
      }
    }
  });
});

interface Router {
  readonly stack: readonly { readonly path: string; readonly methods: readonly string[] }[];
}
type Ask = (path: string, init?: Parameters<RunningGateway['ask']>[1]) => Promise<Response>;

async function askKickOffs(jobs: MemoryJobs, ask: Ask): Promise<void> {
  const body = JSON.stringify({
    resourceType: 'Parameters',
    parameter: [{ name: '_type', valueString: 'Patient' }],
  });
  for (const method of ['GET', 'POST']) {
    for (const path of [
      '/fhir/$export',
      '/fhir/Patient/$export',
      '/fhir/Patient/p/$export',
      '/fhir/Group/g/$export',
    ]) {
      const init =
        method === 'GET' ? {} : { method, body, headers: { 'content-type': 'application/fhir+json' } };
      await ask(path, init);
      const prefer = 'respond-async, separate-export-status';
      const separate = await ask(path, { ...init, headers: { ...init.headers, prefer } });
      assert.equal(separate.status, 202);
      await ask(`${path}?unknown=1`, init);
      await ask(path, { ...init, headers: { ...init.headers, prefer: 'none' } });
      await ask(path, init);
      assert.equal((await ask(path, init)).status, 429);
      if (/\/[pg]\//.test(path)) await ask(path.replace(/\/[pg]\//, '/!/'), init);
      jobs.views.clear();
      jobs.refused = { code: 'not-found', message: 'there is no such patient' };
      if (path !== '/fhir/$export')
        assert.equal((await ask(`${path}?_since=2024-01-01T00:00:00Z`, init)).status, 404);
      jobs.refused = undefined;
      jobs.views.clear();
    }
  }
}

async function askStatus(jobs: MemoryJobs, ask: Ask): Promise<void> {
  const file = {
    kind: 'output',
    type: 'Patient',
    key: 'f/Patient-0001-1.ndjson',
    count: 2,
    bytes: 9,
    sha256: 'a'.repeat(64),
  } as const;
  const files = [
    file,
    { ...file, kind: 'deleted', type: 'Bundle' },
    { ...file, kind: 'error', type: 'OperationOutcome' },
  ] as const;
  const page = Array.from({ length: 20 }, () => file);
  for (const prefer of ['respond-async', 'respond-async, separate-export-status']) {
    for (const query of [
      '_since=2026-01-31T12:00:00Z&_typeFilter=Patient%3Factive%3Dtrue',
      'allowPartialManifests=true&organizeOutputBy=Patient',
    ]) {
      const kickOff = await ask(`/fhir/Patient/$export?${query}`, { headers: { prefer } });
      const url = kickOff.headers.get('content-location') ?? '';
      const { jobId } = jobs.only;
      await ask(url);
      const transactionTime = stamp(1_700_000_000_007);
      jobs.set(jobId, { state: 'running', transactionTime, progress: 0.5, files: page, filesByTask: [page] });
      await ask(url);
      jobs.set(jobId, { state: 'completed', files, filesByTask: [page, files], endedAt: Date.now() });
      const complete = await ask(url);
      assert.equal(complete.status, 200);
      await ask(`${url}?page=${query.includes('Partial') ? 2 : 1}`);
      await ask(`${url}?page=x`);
      await ask(`${url}?page=9`);
      for (const code of ['not-found', 'bad-request', 'internal', 'deadline']) {
        jobs.set(jobId, { state: 'failed', failure: { code, message: 'why' } });
        await ask(url);
      }
      assert.equal((await ask(url, { method: 'DELETE' })).status, 202);
      assert.equal((await ask(url)).status, 404);
      assert.equal((await ask(url, { method: 'DELETE' })).status, 404);
      jobs.views.clear();
    }
  }
}

async function askFiles(gateway: RunningGateway, ask: Ask): Promise<void> {
  for (const key of [
    'f/Patient-0001-1.ndjson',
    'research/f/Patient-0001-1.ndjson.gz',
    'research/f/type=Patient/Patient-1.ndjson',
    'research/f/_deleted/type=Patient/deleted-Patient-1.ndjson',
  ]) {
    const writer = await gateway.store.create(key);
    await writer.write(Buffer.from('{"resourceType":"Patient"}\n'));
    await writer.finish();
    const url = fileUrl({ publicUrl: gateway.url, urlSecret: SECRET }, key, Date.now() + 60_000);
    for (const method of ['GET', 'HEAD']) {
      assert.equal((await ask(url, { method })).status, 200);
      // A range is defined for GET alone (RFC 9110, 14.2).
      const [inside, outside] = method === 'GET' ? [206, 416] : [200, 200];
      assert.equal((await ask(url, { method, headers: { range: 'bytes=0-3' } })).status, inside);
      assert.equal((await ask(url, { method, headers: { range: 'bytes=999-' } })).status, outside);
      const tag = (await ask(url, { method })).headers.get('etag') ?? '';
      assert.equal((await ask(url, { method, headers: { 'if-none-match': tag } })).status, 304);
      assert.equal((await ask(`${url}x`, { method })).status, 404);
    }
    await ask(url, { headers: { 'accept-encoding': 'gzip' } });
  }
}

describe('the AsyncAPI document', () => {
  it('is valid AsyncAPI 3.0 and has the topic as it is declared, with the prefix in force', async () => {
    const gateway = await runGateway({ topicPrefix: 'clinic' });
    const document = (await (await gateway.ask('/asyncapi.json')).json()) as {
      channels: { exports: { address: string; bindings: { kafka: { topicConfiguration: object } } } };
      components: { schemas: { ExportEvent: { schema: object } } };
    };
    await gateway.stop();
    // The schema brings its own copy of the schema of schemas.
    const ajv = new Ajv({ strict: false, meta: false, validateSchema: false });
    ajvFormats.default(ajv);
    const validate = ajv.compile(asyncApiSchemas.schemas['3.0.0'] as object);
    assert.ok(validate(document), ajv.errorsText(validate.errors));
    assert.ok(!validate({ ...document, channels: [] }));
    assert.equal(document.channels.exports.address, 'clinic.exports');
    assert.deepEqual(document.components.schemas.ExportEvent.schema, exportEvents.schema);
    assert.deepEqual(document.channels.exports.bindings.kafka.topicConfiguration, {
      'cleanup.policy': ['delete'],
      'retention.ms': 30 * 86_400_000,
      'max.message.bytes': 8 * 2 ** 20,
    });
  });
});
