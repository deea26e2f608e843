import Router from '@koa/router';
import type { Context } from 'koa';
import { bad, quoted } from '../base/bad-request.ts';
import { HeadwaterError } from '../base/errors.ts';
import { compileElements } from '../fhir/elements.ts';
import { isId } from '../fhir/reference.ts';
import { clientOf } from './client.ts';
import { FHIR_JSON } from './discovery-formats.ts';
import { FHIR_BASE } from './gateway-context.ts';
import type { GatewayContext } from './gateway-context.ts';

const PARAMETERS = ['_id', '_count', '_after', '_format'];
const COUNT = 20;
const MAX_COUNT = 200;
/** In ms: the longest time to read from the log. */
const PATIENCE = 10_000;

/** Removes the members of a Group, for clients that may not read them. */
const withoutMembers = compileElements(
  ['identifier,active,type,actual,code,name,managingEntity,quantity,characteristic'],
  'Group',
);

/** `GET [base]/Group` and `GET [base]/Group/[id]`: the Groups that a client may export, in their present versions in the log. */
export function groupRoutes(gateway: GatewayContext): Router {
  const router = new Router({ sensitive: true });
  router.get(`${FHIR_BASE}/Group`, (ctx) => listGroups(ctx, gateway));
  router.get(`${FHIR_BASE}/Group/:id`, (ctx, next) => {
    const id = ctx.params['id'] ?? '';
    return id.startsWith('$') ? next() : readGroup(ctx, gateway, id); // an operation is no Group
  });
  return router;
}

async function readGroup(ctx: Context, gateway: GatewayContext, id: string): Promise<void> {
  const rights = await rightsOf(ctx, gateway);
  const found = isId(id) && rights.may(id) ? await directoryOf(gateway).read([id], patience()) : undefined;
  const body = found?.get(id);
  // The answer does not show whether the Group exists.
  if (!body) throw new HeadwaterError('not-found', `there is no Group/${quoted(id)} here`, { subject: 'id' });
  send(ctx, shown(body, rights.whole));
}

async function listGroups(ctx: Context, gateway: GatewayContext): Promise<void> {
  const rights = await rightsOf(ctx, gateway);
  const { ids: wanted, count, after } = parametersOf(new URLSearchParams(ctx.querystring));
  const directory = directoryOf(gateway);
  const signal = patience();
  const all = (await directory.ids(signal)).filter((id) => rights.may(id) && (wanted?.has(id) ?? true));
  const rest = all.filter((id) => id > after);
  const page = rest.slice(0, count);
  const bodies = page.length > 0 ? await directory.read(page, signal) : new Map<string, Buffer>();
  const base = `${gateway.settings.publicUrl}${FHIR_BASE}/Group`;
  const last = page.at(-1);
  const more = rest.length > page.length && last !== undefined;
  const entries = page.flatMap((id) => {
    const body = bodies.get(id);
    return body
      ? `{"fullUrl":${JSON.stringify(`${base}/${id}`)},"resource":${shown(body, rights.whole).toString()},"search":{"mode":"match"}}`
      : [];
  });
  const link = [
    { relation: 'self', url: `${base}${ctx.search}` },
    ...(more ? [{ relation: 'next', url: `${base}?${nextPage(wanted, count, last)}` }] : []),
  ];
  const head = JSON.stringify({ resourceType: 'Bundle', type: 'searchset', total: all.length, link });
  send(
    ctx,
    Buffer.from(entries.length === 0 ? head : `${head.slice(0, -1)},"entry":[${entries.join(',')}]}`),
  );
}

function nextPage(wanted: ReadonlySet<string> | undefined, count: number, after: string): string {
  const query = new URLSearchParams({ _count: String(count), _after: after });
  if (wanted) query.set('_id', [...wanted].join(','));
  return query.toString();
}

interface Asked {
  readonly ids: ReadonlySet<string> | undefined;
  readonly count: number;
  readonly after: string;
}

function parametersOf(query: URLSearchParams): Asked {
  for (const name of query.keys())
    if (!PARAMETERS.includes(name))
      throw bad(name, `parameter ${quoted(name)} is not supported; those that are: ${PARAMETERS.join(', ')}`);
  const count = query.get('_count') ?? String(COUNT);
  if (!/^\d{1,6}$/.test(count)) throw bad('_count', `_count: ${quoted(count)} is not a number`);
  const ids = query.get('_id');
  return {
    ids: ids === null ? undefined : new Set(ids.split(',')),
    count: Math.min(Number(count), MAX_COUNT),
    after: query.get('_after') ?? '',
  };
}

interface GroupRights {
  readonly may: (id: string) => boolean;
  /** Whether the client may read the members. */
  readonly whole: boolean;
}

async function rightsOf(ctx: Context, { access }: GatewayContext): Promise<GroupRights> {
  const { rights } = await clientOf(ctx, access);
  return rights ? rights.access.permittedGroups(rights.identity) : { may: () => true, whole: true };
}

function shown(body: Buffer, whole: boolean): Buffer {
  return whole || !withoutMembers ? body : withoutMembers(body, 0, body.length);
}

function directoryOf({ groups }: GatewayContext): NonNullable<GatewayContext['groups']> {
  if (groups) return groups;
  throw new HeadwaterError(
    'not-found',
    'Groups are not served here: this gateway has no HEADWATER_KAFKA_BROKERS and HEADWATER_REGISTRY_URL',
  );
}

function patience(): AbortSignal {
  return AbortSignal.timeout(PATIENCE);
}

function send(ctx: Context, body: Buffer): void {
  ctx.set('Content-Type', `${FHIR_JSON}; charset=utf-8`);
  ctx.set('Cache-Control', 'no-store');
  ctx.body = body;
}
