import Router from '@koa/router';
import type { Context } from 'koa';
import { text } from 'node:stream/consumers';
import type { Access } from '../access/access.ts';
import { FHIR_BASE } from './gateway-context.ts';

const MAX_FORM = 16_384;

/** The routes of SMART Backend Services: its metadata and Headwater's own token endpoint. An open server has none of them. */
export function smartRoutes(access: Access): Router {
  const router = new Router({ sensitive: true });
  for (const base of ['', FHIR_BASE])
    router.get(`${base}/.well-known/smart-configuration`, async (ctx) => {
      const configuration = await access.smartConfiguration();
      ctx.set('Content-Type', 'application/json; charset=utf-8');
      ctx.body = JSON.stringify(configuration);
    });
  router.post(`${FHIR_BASE}/auth/token`, (ctx) => sendToken(ctx, access));
  return router;
}

async function sendToken(ctx: Context, access: Access): Promise<void> {
  const form = await formOf(ctx);
  const { status, body } = form
    ? await access.issueToken(form)
    : {
        status: 400,
        body: {
          error: 'invalid_request',
          error_description: `send a form (application/x-www-form-urlencoded) of at most ${String(MAX_FORM)} bytes`,
        },
      };
  ctx.status = status;
  ctx.set('Content-Type', 'application/json; charset=utf-8');
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Pragma', 'no-cache');
  ctx.body = JSON.stringify(body);
}

async function formOf(ctx: Context): Promise<URLSearchParams | undefined> {
  if (ctx.request.type !== 'application/x-www-form-urlencoded') return undefined;
  const bytes = Number(ctx.get('Content-Length') || Infinity);
  if (!(bytes <= MAX_FORM)) return undefined; // without a length, nothing limits the body
  return new URLSearchParams(await text(ctx.req));
}
