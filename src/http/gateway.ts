import { bodyParser } from '@koa/bodyparser';
import Router from '@koa/router';
import Koa from 'koa';
import type { Middleware } from 'koa';
import { HeadwaterError, isAbort, messageOf } from '../base/errors.ts';
import { isId } from '../fhir/reference.ts';
import { storageHealth } from './admin.ts';
import { outcomes } from './answer.ts';
import { auditedRefusals } from './audited-refusals.ts';
import { cors } from './cors.ts';
import { discoveryRoutes } from './discovery.ts';
import { exportFile } from './export-file.ts';
import { cancelExport, exportStatus } from './export-status.ts';
import { FHIR_BASE } from './gateway-context.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { ExportTarget } from '../events/export-parameter-table.ts';
import { groupRoutes } from './groups.ts';
import { JSON_TYPES, kickOff } from './kick-off.ts';
import { probeRoutes } from './probe-app.ts';
import { bad, quoted } from '../base/bad-request.ts';
import { requestMetrics } from './request-metrics.ts';
import { smartRoutes } from './smart.ts';

/**
 * The HTTP side of Headwater. It keeps no state: any number of gateways with the same settings answer alike. Made once in a
 * process, since its metrics have fixed names.
 */
export function createGateway(gateway: GatewayContext): Koa {
  const app = new Koa();
  app.on('error', (error: unknown) => {
    logStreamError(gateway, error);
  });
  app.use(requestMetrics(gateway.metrics, gateway.clock));
  app.use(cors(gateway.settings.corsOrigins));
  app.use(outcomes(gateway.logger));
  if (gateway.access) app.use(auditedRefusals(gateway));
  app.use(plainPath);
  const router = routes(gateway);
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

function routes(gateway: GatewayContext): Router {
  const body = bodyParser({
    enableTypes: ['json'],
    extendTypes: { json: JSON_TYPES },
    jsonLimit: String(gateway.settings.maxBodyBytes),
    onError: (error) => refuseBody(error, gateway.settings.maxBodyBytes),
  });
  const router = new Router({ sensitive: true });
  for (const [path, targetOf] of EXPORTS) {
    router.get(FHIR_BASE + path, (ctx) => kickOff(ctx, gateway, targetOf(idOf(ctx.params))));
    router.post(FHIR_BASE + path, body, (ctx) => kickOff(ctx, gateway, targetOf(idOf(ctx.params))));
  }
  router.get(`${FHIR_BASE}/$export-status/:jobId`, (ctx) =>
    exportStatus(ctx, gateway, ctx.params['jobId'] ?? ''),
  );
  router.delete(`${FHIR_BASE}/$export-status/:jobId`, (ctx) =>
    cancelExport(ctx, gateway, ctx.params['jobId'] ?? ''),
  );
  for (const path of EXPORT_FILES)
    router.get(`${FHIR_BASE}/$export-file${path}`, (ctx) => {
      // In the order of the path.
      const key = Object.values(ctx.params as Readonly<Record<string, string>>).join('/');
      return exportFile(ctx, gateway, key);
    });
  router.get('/admin/storage/health', (ctx) => storageHealth(ctx, gateway));
  // The router treats HEAD as GET, but a HEAD must not start an export.
  for (const layer of router.stack)
    if (String(layer.path).endsWith('/$export'))
      layer.methods = layer.methods.filter((method) => method !== 'HEAD');
  router.use(groupRoutes(gateway).routes());
  if (gateway.access) router.use(smartRoutes(gateway.access, gateway).routes());
  router.use(discoveryRoutes(gateway).routes());
  router.use(probeRoutes(gateway).routes());
  return router;
}

/** Answers a body that cannot be read with the property to change: its length, its coding or its syntax. */
function refuseBody(error: Error & { status?: number }, limit: number): never {
  const { status = 400, message } = error;
  const words = status === 413 ? `it is too large, ${limit} bytes at most (HEADWATER_MAX_BODY)` : message;
  throw Object.assign(new Error(`the body: ${words}`), { status });
}

/** Holds the parts of RFC 9112, 3.2 that Node does not: a Host is required, and an absolute URL counts as its path. */
const plainPath: Middleware = async (ctx, next) => {
  if (ctx.req.httpVersion === '1.1' && ctx.req.headers.host === undefined)
    throw bad('Host', 'Host: the header is missing');
  if (!ctx.url.startsWith('/')) {
    const url = URL.parse(ctx.url);
    if (!url || !/^https?:$/.test(url.protocol))
      throw bad('URL', `the URL ${quoted(ctx.url)} is none of HTTP`);
    ctx.url = url.pathname + url.search;
  }
  ctx.path = ctx.path.replace(/%24/g, '$'); // some HTTP libraries escape the $ of an operation
  await next();
};

const EXPORTS: readonly [path: string, target: (id: string) => ExportTarget][] = [
  ['/$export', () => ({ level: 'system' })],
  ['/Patient/$export', () => ({ level: 'patient' })],
  ['/Patient/:id/$export', (patient) => ({ level: 'patient', patient })],
  ['/Group/:id/$export', (group) => ({ level: 'group', group })],
];

/** Paths of files. Without a container, a file in folders of its layout takes the shape of another of these. */
const EXPORT_FILES = [
  '/:folder/:name',
  '/:container/:folder/:name',
  '/:container/:folder/:part/:name',
  '/:container/:folder/:kind/:part/:name',
];

function idOf({ id }: Readonly<Record<string, string>>): string {
  if (id === undefined || isId(id)) return id ?? '';
  throw new HeadwaterError('not-found', `${quoted(id)} is not the id of a resource`, { subject: 'id' });
}

/** Logs errors after the headers were sent. A client that went away is no error. */
function logStreamError({ logger }: GatewayContext, error: unknown): void {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (isAbort(error) || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ECONNRESET' || code === 'EPIPE')
    return;
  logger.error({ err: error }, `an answer was cut short: ${messageOf(error)}`);
}
