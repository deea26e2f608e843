import type { Context } from 'koa';

/** The id of the client that owns a job; other clients do not see the job. For now it is the address of the connection. */
export function clientOf(ctx: Context): string {
  const address = (ctx.req.socket.remoteAddress ?? 'unknown').replace(/^::ffff:/, '');
  return address === '::1' ? '127.0.0.1' : address; // both are this machine
}
