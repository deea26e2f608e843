import Router from '@koa/router';
import type { Context } from 'koa';
import { HeadwaterError } from '../base/errors.ts';
import { asyncApi } from '../events/asyncapi.ts';
import { capabilityStatement } from './capability-statement.ts';
import { FHIR_BASE } from './gateway-context.ts';
import type { GatewayContext } from './gateway-context.ts';
import { openApi } from './openapi.ts';
import { operationDefinition, OPERATIONS } from './operation-definitions.ts';
import { quoted } from './raw-parameters.ts';

/** What this server says about itself. It stays the same while the process runs, so it is made once. */
export function discoveryRoutes({ settings, clock }: Pick<GatewayContext, 'settings' | 'clock'>): Router {
  const baseUrl = settings.publicUrl + FHIR_BASE;
  const startedAt = clock();
  const statement = JSON.stringify(capabilityStatement(baseUrl, startedAt, settings));
  const definitions = new Map(
    [...OPERATIONS].map(([id, operation]) => [
      id,
      JSON.stringify(operationDefinition(id, operation, { baseUrl, startedAt })),
    ]),
  );
  const router = new Router({ sensitive: true });
  router.get(`${FHIR_BASE}/metadata`, (ctx) => sendResource(ctx, statement));
  router.get(`${FHIR_BASE}/OperationDefinition/:id`, (ctx) => {
    const { id = '' } = ctx.params;
    const definition = definitions.get(id);
    if (definition === undefined) {
      const message = `there is no OperationDefinition/${quoted(id)} here, but ${[...OPERATIONS.keys()].join(', ')}`;
      throw new HeadwaterError('not-found', message, { subject: 'id' });
    }
    sendResource(ctx, definition);
  });
  for (const [path, document] of [
    ['/openapi.json', JSON.stringify(openApi(settings))],
    ['/asyncapi.json', JSON.stringify(asyncApi(settings))],
  ] as const) {
    router.get(path, (ctx) => {
      ctx.set('Content-Type', 'application/json; charset=utf-8');
      ctx.body = document;
    });
  }
  return router;
}

const JSON_TYPES: readonly string[] = ['application/fhir+json', 'application/json', 'text/json'];
const ANYTHING: readonly string[] = [...JSON_TYPES, 'application/*', '*/*', ''];

/** JSON is all there is; `_format` counts more than Accept (https://hl7.org/fhir/R4/http.html#mime-type). */
function sendResource(ctx: Context, resource: string): void {
  const { _format: format } = ctx.query;
  const asked = format === undefined ? ctx.get('Accept').split(',') : [String(format).replaceAll(' ', '+')];
  const types = asked.map((item) => (item.split(';')[0] ?? '').trim().toLowerCase());
  if (!types.some((type) => ANYTHING.includes(type) || type === 'json')) {
    const message = `${quoted(asked.join(','))} cannot be had; ask for ${JSON_TYPES.join(', ')}`;
    throw Object.assign(new Error(message), { status: 406 });
  }
  ctx.set('Content-Type', 'application/fhir+json; charset=utf-8');
  ctx.body = resource;
}
