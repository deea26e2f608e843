import type { Context, Middleware } from 'koa';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/service.ts';
import { operationOutcome } from '../fhir/operation-outcome.ts';
import type { OperationOutcome } from '../fhir/operation-outcome.ts';
import { answerTo } from './errors.ts';
import { quoted } from '../base/bad-request.ts';

export function sendOutcome(ctx: Context, status: number, outcome: OperationOutcome): void {
  ctx.status = status;
  ctx.set('Content-Type', `${jsonTypeFor(ctx)}; charset=utf-8`);
  ctx.body = JSON.stringify(outcome);
}

/** Plain JSON where the client's Accept has no place for FHIR's; a kick-off insists on that. */
function jsonTypeFor(ctx: Context): string {
  const [fhir, plain] = ['application/fhir+json', 'application/json'];
  return !/\/(?:\$|%24)export(?:\?|$)/.test(ctx.url) && !ctx.accepts(fhir) && ctx.accepts(plain)
    ? plain
    : fhir;
}

/** Turns every error of a handler, and every unanswered request, into a status with an OperationOutcome. */
export function outcomes(logger: Logger): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      const { status, retryAfter, authenticate, outcome } = answerTo(error);
      // The query of a file's URL is a capability: only the path is logged.
      if (status >= 500)
        logger.error(
          { err: error, method: ctx.method, path: ctx.path, status },
          `request failed: ${messageOf(error)}`,
        );
      if (retryAfter !== undefined) ctx.set('Retry-After', String(retryAfter));
      if (authenticate !== undefined) ctx.set('WWW-Authenticate', authenticate);
      sendOutcome(ctx, status, outcome);
      return;
    }
    if (ctx.body !== undefined && ctx.body !== null && ctx.body !== '') return;
    if (ctx.status === 404)
      sendOutcome(ctx, 404, operationOutcome('error', 'not-found', `there is no ${quoted(ctx.path)} here`));
    // The router answers 501 to a method that no route has, which looks like a failure of this server.
    if (ctx.status === 405 || ctx.status === 501) {
      sendOutcome(
        ctx,
        405,
        operationOutcome('error', 'not-supported', `${ctx.method} is not possible on ${quoted(ctx.path)}`),
      );
    }
  };
}
