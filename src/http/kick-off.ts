import type { Context } from 'koa';
import { bad, quoted } from '../base/bad-request.ts';
import { HeadwaterError } from '../base/errors.ts';
import type { ExportTarget } from '../events/export-parameter-table.ts';
import type { RawParameter } from '../events/given-parameter.ts';
import type { ExportParameters } from '../events/request.ts';
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
 * `GET|POST …/$export`: checks everything, then one transaction, then 202 with the place to ask. An export of a group or of
 * patients that are not there is refused here when its plan says so in time; otherwise the status will.
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
  const parsed = parseExportParameters([...parametersOfQuery(ctx.querystring), ...bodyOf(ctx)], target, {
    lenient,
    binary: settings.exportBinary,
    containers: settings.containers,
    references: new References(settings.sourceBaseUrls),
  });
  const granted = grantTo(client, { ...parsed, separateStatus }, lenient);
  const parameters = granted?.parameters ?? { ...parsed, separateStatus };
  const requestUrl = `${settings.publicUrl}${ctx.path}${ctx.search}`;
  const jobId = await jobs.submit({
    ...{ clientId: client.id, requestUrl, parameters },
    ...{ grant: granted?.grant, maxUnfinished: granted?.maxUnfinished },
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

/** Whether the plan may refuse the request: the log says whether the group or patient exists. Other requests do not wait for their plan. */
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
