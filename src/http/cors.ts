import type { Context, Middleware, Next } from 'koa';

/** All headers of the answers, except those that browsers always show. */
const EXPOSED = [
  'Content-Location',
  'Preference-Applied',
  'X-Export-Status',
  'X-Progress',
  'Retry-After',
  'Expires',
  'ETag',
  'Accept-Ranges',
  'Content-Range',
  'Content-Encoding',
  'Content-Disposition',
  'Vary',
  'Allow',
  'WWW-Authenticate',
].join(', ');

/**
 * Lets scripts of web pages from the given origins call. Other origins get no CORS headers, so browsers keep them from
 * a kick-off, whose Prefer header they ask about first, and from every answer.
 */
export function cors(origins: readonly string[]): Middleware {
  const everybody = origins.includes('*');
  return async (ctx, next) => {
    if (origins.length > 0 && !everybody) ctx.vary('Origin');
    const origin = ctx.get('Origin');
    if (!everybody && !origins.includes(origin)) return answered(ctx, next);
    ctx.set('Access-Control-Allow-Origin', everybody ? '*' : origin);
    ctx.set('Access-Control-Expose-Headers', EXPOSED);
    if (ctx.method !== 'OPTIONS' || ctx.get('Access-Control-Request-Method') === '')
      return answered(ctx, next);
    ctx.set('Access-Control-Allow-Methods', 'GET, HEAD, POST, DELETE');
    ctx.set('Access-Control-Allow-Headers', ALLOWED);
    ctx.set('Access-Control-Max-Age', '600');
    ctx.status = 204;
  };
}

/** An OPTIONS that is not a preflight gets the answer of the router: `Allow` and no body. */
async function answered(ctx: Context, next: Next): Promise<void> {
  await next();
  if (ctx.method === 'OPTIONS' && ctx.status === 200) ctx.status = 204;
}

const ALLOWED = [
  'Accept',
  'Authorization',
  'Content-Type',
  'Prefer',
  'Range',
  'If-Range',
  'If-None-Match',
  'If-Modified-Since',
].join(', ');
