import type { Context } from 'koa';

/** Who asks: jobs belong to this id, and nobody else sees them. For now it is the address the connection comes from. */
export function clientOf(ctx: Context): string {
  return (ctx.req.socket.remoteAddress ?? 'unknown').replace(/^::ffff:/, '');
}
