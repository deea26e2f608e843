import type { Context } from 'koa';
import type { Registry } from 'prom-client';
import type { ServiceHealth } from '../base/service.ts';

/** `GET /healthz`: the process answers. */
export function healthz(ctx: Context): void {
  ctx.body = { status: 'ok' };
}

/**
 * `GET /readyz`: 200 when every service of this process runs, 503 and which does not otherwise.
 * @param problem one that does not keep the process from its work
 */
export function readyz(ctx: Context, health: readonly ServiceHealth[], problem?: string): void {
  const ready = health.every((service) => service.state === 'running');
  ctx.status = ready ? 200 : 503;
  ctx.body = {
    status: ready ? 'ready' : 'waiting',
    services: health,
    ...(problem !== undefined && { problem }),
  };
}

/** `GET /metrics`, for Prometheus. */
export async function metrics(ctx: Context, registry: Registry): Promise<void> {
  ctx.set('Content-Type', registry.contentType);
  ctx.body = await registry.metrics();
}
