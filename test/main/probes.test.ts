import assert from 'node:assert/strict';
import { Registry } from 'prom-client';
import type { ServiceHealth } from '../../src/base/service.ts';
import { gatewayService } from '../../src/http/gateway-service.ts';
import { createProbes } from '../../src/http/probe-app.ts';
import { processMetrics } from '../../src/main/process-metrics.ts';
import { freePort } from '../../src/stack/ports.ts';

const quiet = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

describe('the probes of a process without the gateway', () => {
  it('tell who waits for what, and what failed how often', async () => {
    let health: ServiceHealth[] = [{ name: 'capture', state: 'running', reason: undefined, failures: 2 }];
    const metrics = processMetrics(() => health, Date.now).registry;
    assert.ok(metrics instanceof Registry);
    const httpPort = await freePort();
    const stop = new AbortController();
    const ready = Promise.withResolvers<undefined>();
    const app = createProbes({ health: () => health, metrics });
    const service = gatewayService({
      app,
      settings: { httpHost: '127.0.0.1', httpPort },
      portSetting: 'HEADWATER_PROBE_PORT',
      health: { ready: () => ready.resolve(undefined) },
      logger: quiet,
    });
    const running = service.run(stop.signal);
    await ready.promise;
    const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${httpPort}${path}`);
    assert.equal((await get('/healthz')).status, 200);
    assert.equal((await get('/readyz')).status, 200);
    const text = await (await get('/metrics')).text();
    assert.match(text, /headwater_service_running\{service="capture"\} 1/);
    assert.match(text, /headwater_service_failures_total\{service="capture"\} 2/);
    health = [{ name: 'capture', state: 'waiting', reason: 'Kafka does not answer', failures: 3 }];
    const waiting = await get('/readyz');
    assert.equal(waiting.status, 503);
    assert.match(await waiting.text(), /Kafka does not answer/);
    stop.abort();
    await running;
  });
});
