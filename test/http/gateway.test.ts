import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import Koa from 'koa';
import { RESOURCE_TYPES } from '../../src/fhir/resource-types.ts';
import { gatewayService } from '../../src/http/gateway-service.ts';
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

  it('counts requests by operation for Prometheus', async () => {
    await gateway.ask('/fhir/$export-status/none');
    const text = await (await gateway.ask('/metrics')).text();
    assert.match(
      text,
      /headwater_http_request_seconds_count\{operation="\/fhir\/\$export-status\/:jobId",method="GET",status="404"\} 1/,
    );
  });

  it('answers unknown paths and methods with an OperationOutcome', async () => {
    await assertOutcome(await gateway.ask('/'), 404, /no "\/" here/);
    await assertOutcome(await gateway.ask('/fhir/Patient'), 404, /no "\/fhir\/Patient" here/);
    await assertOutcome(await gateway.ask('/fhir/Observation/$export'), 404, /here/);
    await assertOutcome(await gateway.ask('/fhir/Group/a%20b/$export'), 404, /"a b" is not the id/);
    await assertOutcome(await gateway.ask('/fhir/$export', { method: 'DELETE' }), 405, /DELETE/);
    await assertOutcome(await gateway.ask('/fhir/metadata', { method: 'POST' }), 405, /POST/);
    await assertOutcome(await gateway.ask('/fhir/$export-status/%zz'), 404, /./);
    assert.equal((await gateway.ask('/fhir/nothing', { method: 'HEAD' })).status, 404);
  });

  it('lets browsers of any origin call, and read the headers they need', async () => {
    const preflight = await gateway.ask('/fhir/$export', {
      method: 'OPTIONS',
      headers: {
        origin: 'https://app.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'prefer',
      },
    });
    assert.equal(preflight.status, 204);
    assert.match(preflight.headers.get('access-control-allow-methods') ?? '', /POST/);
    assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /Prefer/);
    for (const path of ['/fhir/$export', '/fhir/$export-status/none', '/fhir/$export-file/a/b']) {
      const { headers } = await gateway.ask(path);
      assert.equal(headers.get('access-control-allow-origin'), '*');
      for (const name of ['Content-Location', 'X-Progress', 'Retry-After', 'Expires']) {
        assert.ok(headers.get('access-control-expose-headers')?.includes(name), name);
      }
    }
  });
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
