import type { Context } from 'koa';
import { bad, quoted } from '../base/bad-request.ts';
import { HeadwaterError } from '../base/errors.ts';
import type { ExportTarget } from '../events/export-parameter-table.ts';
import type { RawParameter } from '../events/given-parameter.ts';
import type { ExportParameters } from '../events/request.ts';
import type { Grant } from '../events/grant.ts';
import { canonicalJson } from '../events/request-seal.ts';
import { parseInstant } from '../fhir/instant.ts';
import type { Jobs } from '../jobs/job.ts';
import type { Granted } from '../access/grants.ts';
import { operationOutcome } from '../fhir/operation-outcome.ts';
import { References } from '../fhir/reference.ts';
import { sendOutcome } from './answer.ts';
import { clientOf, grantTo } from './client.ts';
import { parseExportParameters } from './export-parameters.ts';
import { FHIR_BASE } from './gateway-context.ts';
import type { GatewayContext } from './gateway-context.ts';
import { checkAccept, checkPrefer, preferencesOf } from './preferences.ts';
import { parametersOfBody, parametersOfQuery } from './raw-parameters.ts';

/**
 * `GET|POST …/$export`: checks the request, stores it in one transaction, and answers 202 with the URL of the status. It refuses an
 * export of an unknown group or patient if the planner reports that in time; otherwise the status reports it.
 */
export async function kickOff(
  ctx: Context,
  { settings, jobs, access }: GatewayContext,
  target: ExportTarget,
): Promise<void> {
  const client = await clientOf(ctx, access);
  checkAccept(ctx.get('Accept'), settings.strictAccept);
  const preferences = preferencesOf(ctx.get('Prefer'));
  if (settings.requirePrefer) checkPrefer(preferences);
  const separateStatus = preferences.has('separate-export-status');
  const lenient = preferences.has('handling=lenient');
  const { deidentifyEtag, ...parsed } = parseExportParameters(
    [...parametersOfQuery(ctx.querystring), ...bodyOf(ctx)],
    target,
    {
      lenient,
      binary: settings.exportBinary,
      containers: settings.containers,
      references: new References(settings.sourceBaseUrls),
    },
  );
  const expected = deidentifyEtag === undefined ? {} : { deidentifyEtag };
  const granted = grantTo(client, { ...parsed, ...expected, separateStatus }, lenient);
  if (!granted && (parsed.deidentify ?? deidentifyEtag) !== undefined)
    throw bad(
      '_anonymizationConfig',
      '_anonymizationConfig: this server has no access file that defines one',
    );
  const asked = granted?.parameters ?? { ...parsed, separateStatus };
  const changed = await rightsChanged(jobs, client.id, granted);
  const parameters = changed === undefined ? asked : { ...asked, warnings: [...asked.warnings, changed] };
  const requestUrl = `${settings.publicUrl}${ctx.path}${ctx.search}`;
  const jobId = await jobs.submit({
    ...{ clientId: client.id, requestUrl, parameters, agent: client.agent },
    ...{ grant: granted?.grant, limits: granted?.limits },
  });
  const refusal = canBeRefused(parameters) ? await jobs.refusal(jobId, settings.planWaitMs) : undefined;
  if (refusal?.code === 'not-found' || refusal?.code === 'bad-request' || refusal?.code === 'forbidden')
    throw new HeadwaterError(refusal.code, refusal.message);
  ctx.set('Content-Location', `${settings.publicUrl}${FHIR_BASE}/$export-status/${jobId}`);
  if (separateStatus) ctx.set('Preference-Applied', 'respond-async, separate-export-status');
  sendOutcome(
    ctx,
    202,
    operationOutcome(
      'information',
      'informational',
      'The export was accepted; Content-Location says where to ask for it.',
    ),
  );
}

/**
 * Returns a warning if the rights of the client have changed since its `_since`, or if its rights of that time are unknown. Such an
 * increment may not complete the client's data.
 */
async function rightsChanged(
  jobs: Pick<Jobs, 'grantAsOf'>,
  clientId: string,
  granted: Granted | undefined,
): Promise<string | undefined> {
  const since = granted?.parameters.since;
  if (!granted || since === undefined) return undefined;
  const before = await jobs.grantAsOf(clientId, parseInstant(since) ?? 0);
  if (before && sameRights(before, granted.grant)) return undefined;
  const why = before ? 'your rights have changed since then' : 'you have no export of that time here';
  return `_since: ${why}, so this may not complete what you have: take an export without _since.`;
}

/** Whether two grants give the same rights. The hash of the access file may differ, because other parts of the file may have changed. */
function sameRights(before: Grant, now: Grant): boolean {
  return canonicalJson({ ...before, policy: '' }) === canonicalJson({ ...now, policy: '' });
}

/** Whether the planner may refuse the request, because only the log shows whether its group or patients exist. Other requests need not wait. */
function canBeRefused({ group, patients, since, until }: ExportParameters): boolean {
  return group !== undefined || patients.length > 0 || since !== undefined || until !== undefined;
}

export const JSON_TYPES = ['application/fhir+json', 'application/json'];

function bodyOf(ctx: Context): RawParameter[] {
  const empty = ctx.get('Transfer-Encoding') === '' && Number(ctx.get('Content-Length')) === 0;
  if (empty) return [];
  if (ctx.method !== 'POST') throw bad('body', 'the body: a GET must not have one; send it by POST');
  if (!JSON_TYPES.includes(ctx.request.type)) {
    throw bad(
      'Content-Type',
      `Content-Type: ${quoted(ctx.request.type)} is none of ${JSON_TYPES.join(', ')}`,
    );
  }
  return parametersOfBody(ctx.request.body);
}
