import Router from '@koa/router';
import type { Context } from 'koa';
import { HeadwaterError } from '../base/errors.ts';
import { asyncApi } from '../events/asyncapi.ts';
import { capabilityStatement } from './capability-statement.ts';
import { FHIR_BASE } from './gateway-context.ts';
import type { GatewayContext } from './gateway-context.ts';
import { FHIR_JSON, FORMAT_VALUES, JSON_TYPES } from './discovery-formats.ts';
import { openApi } from './openapi.ts';
import { operationDefinition, OPERATIONS } from './operation-definitions.ts';
import { bad, quoted } from '../base/bad-request.ts';

/** Serves the documents about this server. They do not change while the process runs, so they are created once. */
export function discoveryRoutes({
  settings,
  clock,
  access,
}: Pick<GatewayContext, 'settings' | 'clock' | 'access'>): Router {
  const baseUrl = settings.publicUrl + FHIR_BASE;
  const startedAt = clock();
  const statement = JSON.stringify(
    capabilityStatement(baseUrl, startedAt, { ...settings, tokenUrl: access?.tokenUrl }),
  );
  const definitions = new Map(
    [...OPERATIONS].map(([id, operation]) => [
      id,
      JSON.stringify(operationDefinition(id, operation, { baseUrl, startedAt })),
    ]),
  );
  const router = new Router({ sensitive: true });
  router.get('/', (ctx) => sendPointers(ctx, settings.publicUrl));
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
    ['/openapi.json', JSON.stringify(openApi({ ...settings, secured: access !== undefined }))],
    ['/asyncapi.json', JSON.stringify(asyncApi(settings))],
  ] as const) {
    router.get(path, (ctx) => {
      ctx.set('Content-Type', 'application/json; charset=utf-8');
      ctx.body = document;
    });
  }
  return router;
}

/** Lists the addresses of the interface: as JSON, or as a page for people. */
function sendPointers(ctx: Context, publicUrl: string): void {
  const places = Object.fromEntries(
    Object.entries(PLACES).map(([name, path]) => [name, publicUrl + path] as const),
  );
  ctx.vary('Accept');
  if (ctx.accepts('json', 'html') === 'html') {
    const links = Object.entries(places).map(
      ([name, url]) => `<li>${name}: <a href="${url}">${url}</a></li>`,
    );
    ctx.set('Content-Type', 'text/html; charset=utf-8');
    ctx.body = `<!doctype html>\n<title>Headwater</title>\n<p>Headwater: FHIR R4 Bulk Data export.</p>\n<ul>${links.join('')}</ul>\n`;
    return;
  }
  ctx.set('Content-Type', 'application/json; charset=utf-8');
  ctx.body = JSON.stringify({ name: 'Headwater', ...places });
}

const PLACES = {
  fhir: FHIR_BASE,
  metadata: `${FHIR_BASE}/metadata`,
  openapi: '/openapi.json',
  asyncapi: '/asyncapi.json',
  ready: '/readyz',
} as const;

const ANYTHING: readonly string[] = [...JSON_TYPES, 'application/*', '*/*', ''];

/** Refuses every format except JSON. `_format` counts more than Accept (https://hl7.org/fhir/R4/http.html#mime-type). */
function sendResource(ctx: Context, resource: string): void {
  const { _format: format } = ctx.query;
  if (Array.isArray(format)) throw bad('_format', `_format is given ${format.length} times; once is allowed`);
  const asked = format === undefined ? ctx.get('Accept').split(',') : [format.replaceAll(' ', '+')];
  const types = asked.map((item) => (item.split(';')[0] ?? '').trim().toLowerCase());
  if (!types.some((type) => (format === undefined ? ANYTHING : FORMAT_VALUES).includes(type))) {
    const message = `${quoted(asked.join(','))} cannot be had; ask for ${JSON_TYPES.join(', ')}`;
    throw Object.assign(new Error(message), { status: 406 });
  }
  ctx.set('Content-Type', `${FHIR_JSON}; charset=utf-8`);
  ctx.body = resource;
}
