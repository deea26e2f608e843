import Router from '@koa/router';
import type { Context } from 'koa';
import { text } from 'node:stream/consumers';
import type { Access } from '../access/access.ts';
import { issuerOf } from '../access/token.ts';
import type { TokenAnswer } from '../access/issuer/token-endpoint.ts';
import { done } from '../audit/entries.ts';
import { auditRefusal } from './audited-refusals.ts';
import { agentOf } from './client.ts';
import { FHIR_BASE } from './gateway-context.ts';
import type { GatewayContext } from './gateway-context.ts';

const MAX_FORM = 16_384;
/** Characters of a client's name that is not proved. */
const MAX_CLAIMED = 200;

/** The routes of SMART Backend Services: its metadata and Headwater's own token endpoint. An open server has none of them. */
export function smartRoutes(access: Access, gateway: GatewayContext): Router {
  const router = new Router({ sensitive: true });
  for (const base of ['', FHIR_BASE])
    router.get(`${base}/.well-known/smart-configuration`, async (ctx) => {
      const configuration = await access.smartConfiguration();
      ctx.set('Content-Type', 'application/json; charset=utf-8');
      ctx.body = JSON.stringify(configuration);
    });
  router.post(`${FHIR_BASE}/auth/token`, (ctx) => sendToken(ctx, access, gateway));
  return router;
}

async function sendToken(ctx: Context, access: Access, gateway: GatewayContext): Promise<void> {
  const form = await formOf(ctx);
  const answer: TokenAnswer = form
    ? await access.issueToken(form)
    : {
        status: 400,
        body: {
          error: 'invalid_request',
          error_description: `send a form (application/x-www-form-urlencoded) of at most ${String(MAX_FORM)} bytes`,
        },
      };
  await auditToken(ctx, gateway, form, answer);
  const { status, body } = answer;
  ctx.status = status;
  ctx.set('Content-Type', 'application/json; charset=utf-8');
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Pragma', 'no-cache');
  ctx.body = JSON.stringify(body);
}

/** A token is in the audit log before its client has it. */
async function auditToken(
  ctx: Context,
  gateway: GatewayContext,
  form: URLSearchParams | undefined,
  { status, body, clientId, tokenId }: TokenAnswer,
): Promise<void> {
  const { address } = agentOf(ctx);
  const issuer = `${gateway.settings.publicUrl}${FHIR_BASE}`;
  const agent = { address, ...(clientId !== undefined && { issuer, client: clientId, tokenId }) };
  if (status === 200) {
    const details: [string, string][] = [['scope', String(body['scope'])]];
    await gateway.audit.record(done('token.issued', { agent, details }));
    return;
  }
  const claimed = issuerOf(form?.get('client_assertion') ?? '')?.slice(0, MAX_CLAIMED);
  await auditRefusal(gateway, 'token.refused', {
    ...{ agent, reason: String(body['error']) },
    details: claimed === undefined ? [] : [['claimed client', claimed]],
  });
}

async function formOf(ctx: Context): Promise<URLSearchParams | undefined> {
  if (ctx.request.type !== 'application/x-www-form-urlencoded') return undefined;
  const bytes = Number(ctx.get('Content-Length') || Infinity);
  if (!(bytes <= MAX_FORM)) return undefined; // without a length, nothing limits the body
  return new URLSearchParams(await text(ctx.req));
}
