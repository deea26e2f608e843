import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import Koa from 'koa';
import { stamp } from '../../src/base/positions.ts';
import { RESOURCE_TYPES } from '../../src/fhir/resource-types.ts';
import { gatewayService } from '../../src/http/gateway-service.ts';
import type { Manifest } from '../../src/manifest/manifest.ts';
import { assertOutcome, runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

describe('gateway', () => {
  let gateway: RunningGateway;
  before(async () => {
    gateway = await runGateway();
  });
  after(() => gateway.stop());

  it('says in /fhir/metadata what it can do, with every type', async () => {
    const response = await gateway.ask('/fhir/metadata');
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type') ?? '', /^application\/fhir\+json/);
    const statement = (await response.json()) as {
      resourceType: string;
      fhirVersion: string;
      instantiates: string[];
      rest: {
        mode: string;
        resource: { type: string }[];
        operation: { name: string; definition: string }[];
      }[];
    };
    assert.equal(statement.resourceType, 'CapabilityStatement');
    assert.equal(statement.fhirVersion, '4.0.1');
    assert.deepEqual(statement.instantiates, [
      'http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data',
    ]);
    assert.deepEqual(statement.rest[0]?.operation, [
      { name: 'export', definition: 'http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export' },
    ]);
    assert.deepEqual(
      statement.rest[0].resource.map(({ type }) => type),
      RESOURCE_TYPES,
    );
  });

  it('is ready only while every service runs', async () => {
    assert.equal((await gateway.ask('/healthz')).status, 200);
    assert.equal((await gateway.ask('/readyz')).status, 200);
    const waiting = {
      name: 'capture',
      state: 'waiting',
      reason: 'connect ECONNREFUSED',
      failures: 1,
    } as const;
    gateway.health.push(waiting);
    const response = await gateway.ask('/readyz');
    assert.equal(response.status, 503);
    const body = (await response.json()) as { services: unknown[] };
    assert.deepEqual(body.services[1], waiting);
    assert.equal((await gateway.ask('/healthz')).status, 200);
    gateway.health.pop();
  });

  it('points from / to the interface, for programs and for people', async () => {
    const places = (await (await gateway.ask('/', { headers: { accept: '*/*' } })).json()) as Record<
      string,
      string
    >;
    assert.equal(places['fhir'], `${gateway.url}/fhir`);
    for (const name of ['metadata', 'openapi', 'asyncapi', 'ready'])
      assert.equal((await gateway.ask(places[name] ?? '')).status, 200);
    const page = await gateway.ask('/', { headers: { accept: 'text/html,*/*;q=0.8' } });
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/);
    assert.ok((await page.text()).includes(`${gateway.url}/fhir/metadata`));
  });

  it('names the same methods in Allow whichever is refused', async () => {
    const allowed = async (path: string, method: string): Promise<string> => {
      const answer = await gateway.ask(path, { method });
      assert.equal(answer.status, 405);
      return answer.headers.get('allow') ?? '';
    };
    for (const method of ['HEAD', 'PUT', 'DELETE', 'PATCH'])
      assert.equal(await allowed('/fhir/Patient/$export', method), 'GET, POST');
    for (const method of ['PUT', 'POST'])
      assert.equal(await allowed('/fhir/$export-status/a', method), 'HEAD, GET, DELETE');
  });

  it('calls an OperationOutcome plain JSON for who accepts nothing else', async () => {
    for (const path of ['/fhir/$export-status/a', '/fhir/nothing'])
      for (const [accept, type] of [
        ['application/json', 'application/json'],
        ['application/json, application/fhir+json', 'application/fhir+json'],
        ['*/*', 'application/fhir+json'],
      ] as const) {
        const method = path.endsWith('/a') ? 'DELETE' : 'GET';
        const answer = await gateway.ask(path, { method, headers: { accept } });
        assert.equal(answer.headers.get('content-type'), `${type}; charset=utf-8`);
      }
  });

  it('counts requests by operation for Prometheus', async () => {
    await gateway.ask('/fhir/$export-status/none');
    const text = await (await gateway.ask('/metrics')).text();
    assert.match(
      text,
      /headwater_http_request_seconds_count\{operation="\/fhir\/\$export-status\/:jobId",method="GET",status="404"\} 1/,
    );
  });

  it('answers unknown paths and methods with an OperationOutcome', async () => {
    await assertOutcome(await gateway.ask('/fhir/Patient'), 404, /no "\/fhir\/Patient" here/);
    await assertOutcome(await gateway.ask('/fhir/Observation/$export'), 404, /here/);
    await assertOutcome(await gateway.ask('/fhir/Group/a%20b/$export'), 404, /"a b" is not the id/);
    await assertOutcome(await gateway.ask('/fhir/$export', { method: 'DELETE' }), 405, /DELETE/);
    await assertOutcome(await gateway.ask('/fhir/metadata', { method: 'POST' }), 405, /POST/);
    await assertOutcome(await gateway.ask('/fhir/$export-status/%zz'), 404, /./);
    assert.equal((await gateway.ask('/fhir/nothing', { method: 'HEAD' })).status, 404);
  });

  const PREFLIGHT = {
    method: 'OPTIONS',
    headers: {
      origin: 'https://app.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'prefer',
    },
  };

  it('lets no web page call unless a setting names its origin', async () => {
    const closed = await runGateway();
    const listed = await runGateway({ corsOrigins: ['https://other.example', 'https://app.example:8443'] });
    for (const one of [closed, listed]) {
      const url = '/fhir/$export';
      const origin = { headers: { origin: 'https://app.example' } };
      for (const answer of [
        await one.ask(url, PREFLIGHT),
        await one.ask(url, origin),
        await one.ask('/fhir/metadata', origin),
      ])
        for (const [name] of answer.headers) assert.doesNotMatch(name, /^access-control-/);
      await one.stop();
    }
  });

  it('lets pages of the origins that a setting names call, and read the headers they need', async () => {
    const listed = await runGateway({ corsOrigins: ['https://other.example', 'https://app.example'] });
    const preflight = await listed.ask('/fhir/$export', PREFLIGHT);
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-origin'), 'https://app.example');
    assert.equal(preflight.headers.get('vary'), 'Origin');
    assert.match(preflight.headers.get('access-control-allow-methods') ?? '', /POST.*DELETE/);
    assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /Prefer/);
    const answer = await listed.ask('/fhir/metadata', { headers: { origin: 'https://other.example' } });
    assert.equal(answer.headers.get('access-control-allow-origin'), 'https://other.example');
    const other = await listed.ask('/fhir/metadata', { headers: { origin: 'https://evil.example' } });
    assert.equal(other.headers.get('access-control-allow-origin'), null);
    assert.equal(other.headers.get('vary'), 'Origin');
    await listed.stop();
  });

  it('shows browsers every header of its answers', async () => {
    const gateway = await runGateway({ corsOrigins: ['*'] });
    // The Fetch standard's list of what is always shown, and what says nothing about an answer.
    const plain =
      /^(?:cache-control|content-language|content-length|content-type|expires|last-modified|pragma|date|connection|keep-alive|transfer-encoding|x-content-type-options|access-control-.*)$/;
    const writer = await gateway.store.create('f/a.ndjson');
    await writer.write(Buffer.from('{}\n'));
    await writer.finish();
    const file = {
      kind: 'output',
      type: 'Patient',
      key: 'f/a.ndjson',
      count: 1,
      bytes: 3,
      sha256: 'aa',
    } as const;
    const prefer = { headers: { prefer: 'respond-async, separate-export-status' } };
    const started = await gateway.ask('/fhir/$export', prefer);
    const statusUrl = started.headers.get('content-location') ?? '';
    const waiting = await gateway.ask(statusUrl);
    const done = {
      state: 'completed',
      transactionTime: stamp(1),
      endedAt: Date.now(),
      files: [file],
    } as const;
    gateway.jobs.set(gateway.jobs.only.jobId, done);
    const manifest = await gateway.ask(statusUrl);
    const { output } = (await manifest.clone().json()) as Manifest;
    const url = output[0]?.url ?? '';
    const answers = [
      started,
      waiting,
      manifest,
      await gateway.ask(url, { headers: { 'accept-encoding': 'gzip' } }),
      await gateway.ask(url, { headers: { range: 'bytes=0-1' } }),
      await gateway.ask('/fhir/$export', { method: 'DELETE' }),
      await gateway.ask(statusUrl, { method: 'DELETE' }),
      await gateway.ask(statusUrl),
      await gateway.ask('/fhir/metadata'),
    ];
    const seen = new Set<string>();
    for (const { headers } of answers) {
      assert.equal(headers.get('access-control-allow-origin'), '*');
      const exposed = (headers.get('access-control-expose-headers') ?? '').toLowerCase().split(', ');
      for (const [name] of headers) {
        seen.add(name);
        assert.ok(plain.test(name) || exposed.includes(name), name);
      }
      for (const name of ['content-location', 'x-progress', 'retry-after', 'expires'])
        assert.ok(exposed.includes(name), name);
    }
    for (const name of [
      'x-export-status',
      'preference-applied',
      'content-range',
      'content-encoding',
      'allow',
    ])
      assert.ok(seen.has(name), name);
    await gateway.stop();
  });

  it('takes a whole URL for its path, and any Host', async () => {
    const lines = (target: string, host: string): string =>
      `GET ${target} HTTP/1.1\r\n${host}Prefer: respond-async\r\nConnection: close\r\n\r\n`;
    assert.match(
      await sent(lines('http://[::1]:1/fhir/%24export?_type=Patient', 'Host: h\r\n')),
      /^HTTP\/1.1 202 /,
    );
    assert.equal(gateway.jobs.only.requestUrl, `${gateway.url}/fhir/$export?_type=Patient`);
    gateway.jobs.views.clear();
    for (const host of ['Host: [\r\n', 'Host: \r\n']) {
      assert.match(await sent(lines('/fhir/$export', host)), /^HTTP\/1.1 202 /);
      assert.match(
        await sent(lines('/fhir/$export-file/a/b?expires=1', host)),
        /^HTTP\/1.1 404 .*no such file/s,
      );
    }
    gateway.jobs.views.clear();
    assert.match(await sent(lines('/fhir/$export', '')), /^HTTP\/1.1 400 .*Host: the header is missing/s);
    assert.match(
      await sent(lines('http://[/fhir/$export', 'Host: h\r\n')),
      /^HTTP\/1.1 400 .*the URL .*is none of HTTP/s,
    );
    assert.equal(gateway.jobs.views.size, 0);
  });

  const noHttp: readonly (readonly [string, string, RegExp])[] = [
    ['what is no HTTP', 'Hello\r\n\r\n', /^HTTP\/1.1 400 .*the request is not HTTP/s],
    [
      'headers over 64 KiB',
      `GET / HTTP/1.1\r\nX: ${'x'.repeat(1 << 20)}\r\n\r\n`,
      /^HTTP\/1.1 431 .*more than 65536 bytes/s,
    ],
    ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', /^HTTP\/1.1 405 .*no proxy/s],
    [
      'a strange Expect',
      'GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n',
      /^HTTP\/1.1 417 .*Expect: \\"tea\\"/s,
    ],
    [
      'a body that breaks off',
      'POST /fhir/$export HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
      /^HTTP\/1.1 400 /,
    ],
  ];
  for (const [what, bytes, says] of noHttp) {
    it(`answers ${what} with an OperationOutcome`, async () => {
      const answer = await sent(bytes);
      assert.match(answer, says);
      assert.match(answer, /Content-Type: application\/fhir\+json/);
      assert.match(answer, /\{"resourceType":"OperationOutcome","issue":\[\{"severity":"error"/);
      assert.equal(gateway.jobs.views.size, 0);
    });
  }

  it('answers a request before it refuses what follows it', async () => {
    const answer = await sent('GET /fhir/metadata HTTP/1.1\r\nHost: a\r\n\r\nHello\r\n\r\n');
    assert.match(answer, /^HTTP\/1.1 200 .*HTTP\/1.1 400 .*the request is not HTTP/s);
  });

  it('takes URLs of 60 KB', async () => {
    const types = 'Patient,'.repeat(7_500);
    assert.equal((await gateway.ask(`/fhir/$export?_type=${types}Group`)).status, 202);
    assert.deepEqual(gateway.jobs.only.parameters.types, ['Patient', 'Group']);
    gateway.jobs.views.clear();
  });

  async function sent(bytes: string): Promise<string> {
    const { hostname, port } = new URL(gateway.url);
    return text(connect({ host: hostname, port: Number(port) }).end(bytes));
  }
});

describe('gateway service', () => {
  const logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
  };

  async function freePort(): Promise<number> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return port;
  }

  it('reports ready when it listens; at the signal it lets a request end and takes no more', async () => {
    const settings = { httpHost: '127.0.0.1', httpPort: await freePort() };
    const arrived = Promise.withResolvers<undefined>();
    const release = Promise.withResolvers<undefined>();
    const ready = Promise.withResolvers<undefined>();
    const app = new Koa().use(async (ctx) => {
      arrived.resolve(undefined);
      await release.promise;
      ctx.body = 'done';
    });
    const stop = new AbortController();
    const running = gatewayService({
      app,
      settings,
      logger,
      health: { ready: () => ready.resolve(undefined) },
    }).run(stop.signal);
    await ready.promise;
    const url = `http://127.0.0.1:${String(settings.httpPort)}/`;
    const answer = fetch(url).then((response) => response.text());
    await arrived.promise;
    stop.abort();
    await assert.rejects(fetch(url, { headers: { connection: 'close' } }));
    release.resolve(undefined);
    assert.equal(await answer, 'done');
    await running;
  });

  it('names the setting when the port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const settings = { httpHost: '127.0.0.1', httpPort: (other.address() as AddressInfo).port };
    const service = gatewayService({ app: new Koa(), settings, logger, health: { ready: () => undefined } });
    await assert.rejects(service.run(new AbortController().signal), {
      code: 'bad-config',
      message: /HEADWATER_HTTP_PORT/,
    });
    other.close();
  });
});
