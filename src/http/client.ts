import type { Context } from 'koa';

/** Who asks: jobs belong to this id, and nobody else sees them. For now it is the address the connection comes from. */
export function clientOf(ctx: Context): string {
  const address = (ctx.req.socket.remoteAddress ?? 'unknown').replace(/^::ffff:/, '');
  return address === '::1' ? '127.0.0.1' : address; // this machine, whichever it calls by
}
