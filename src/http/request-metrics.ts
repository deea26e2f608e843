import type { Middleware } from 'koa';
import { Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Clock } from '../base/clock.ts';

/** Time to the answer's headers, by operation and status. */
export function requestMetrics(registry: Registry, clock: Clock): Middleware {
  const seconds = new Histogram({
    name: 'headwater_http_request_seconds',
    help: 'Time until a request was answered (the body of a file excluded)',
    labelNames: ['operation', 'method', 'status'],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10],
    registers: [registry],
  });
  return async (ctx, next) => {
    const begun = clock();
    await next();
    // The pattern of the route, because each id in a path would make another series.
    const operation = String(ctx['_matchedRoute'] ?? 'none');
    seconds.observe({ operation, method: ctx.method, status: ctx.status }, (clock() - begun) / 1000);
  };
}
