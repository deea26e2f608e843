import type { Context } from 'koa';
import { HeadwaterError } from '../base/errors.ts';
import type { GatewayContext } from './gateway-context.ts';

const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/;

/** `GET /admin/storage/health`: 200 when the store works, else 503; the body names the step that failed and what to change. */
export async function storageHealth(ctx: Context, { checkStorage }: GatewayContext): Promise<void> {
  onlyOnLoopback(ctx);
  const report = await checkStorage();
  ctx.set('Cache-Control', 'no-store');
  ctx.status = report.status === 'ok' ? 200 : 503;
  ctx.body = report;
}

/** Throws `not-found` for a request of another machine, also when a proxy of this machine forwards it. */
function onlyOnLoopback(ctx: Context): void {
  const isForwarded = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'].some(
    (name) => ctx.get(name) !== '',
  );
  if (!isForwarded && LOOPBACK.test(ctx.req.socket.remoteAddress ?? '')) return;
  throw new HeadwaterError('not-found', `${ctx.path} answers only requests of its own machine`);
}
