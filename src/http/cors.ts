import type { Middleware } from 'koa';

/** Every header that answers have, except those that browsers show anyway. */
const EXPOSED = [
  'Content-Location',
  'Preference-Applied',
  'X-Export-Status',
  'X-Progress',
  'Retry-After',
  'Expires',
  'Accept-Ranges',
  'Content-Range',
  'Content-Encoding',
  'Vary',
  'Allow',
].join(', ');

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
