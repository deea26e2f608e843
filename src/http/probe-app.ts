import Router from '@koa/router';
import Koa from 'koa';
import type { GatewayContext } from './gateway-context.ts';
import { healthz, metrics, readyz } from './probes.ts';

/** The probes alone, for processes without the gateway. */
export function createProbes(context: Pick<GatewayContext, 'health' | 'metrics'>): Koa {
  const app = new Koa();
  const router = probeRoutes(context);
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

/** The log has the details: probes answer everybody. */
const WRONG_FILE = 'the access file is wrong; the one before stays in force';

/** `/healthz`, `/readyz` and `/metrics`. */
export function probeRoutes(
  context: Pick<GatewayContext, 'health' | 'metrics'> & Partial<Pick<GatewayContext, 'access'>>,
): Router {
  const router = new Router({ sensitive: true });
  router.get('/healthz', healthz);
  router.get('/readyz', (ctx) => {
    readyz(ctx, context.health(), context.access?.problem && WRONG_FILE);
  });
  router.get('/metrics', (ctx) => metrics(ctx, context.metrics));
  return router;
}
