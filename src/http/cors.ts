import type { Middleware } from 'koa';

const EXPOSED = 'Content-Location, X-Progress, Retry-After, Expires, Content-Range, Preference-Applied';

/** Browsers of any origin may call: no cookie or other ambient authority is ever used, so there is nothing to borrow. */
export const cors: Middleware = async (ctx, next) => {
  ctx.set('Access-Control-Allow-Origin', '*');
  ctx.set('Access-Control-Expose-Headers', EXPOSED);
  if (ctx.method !== 'OPTIONS') {
    await next();
    return;
  }
  ctx.set('Access-Control-Allow-Methods', 'GET, HEAD, POST, DELETE');
  ctx.set('Access-Control-Allow-Headers', 'Accept, Authorization, Content-Type, Prefer, Range');
  ctx.set('Access-Control-Max-Age', '600');
  ctx.status = 204;
};
