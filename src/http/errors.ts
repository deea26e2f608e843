import { HeadwaterError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';
import { clientMessage } from '../base/public-message.ts';
import { operationOutcome } from '../fhir/operation-outcome.ts';
import type { IssueCode, OperationOutcome } from '../fhir/operation-outcome.ts';

export interface ErrorAnswer {
  readonly status: number;
  /** Whole seconds. */
  readonly retryAfter: number | undefined;
  /** The header WWW-Authenticate (RFC 6750, 3). */
  readonly authenticate?: string | undefined;
  readonly outcome: OperationOutcome;
}

interface Kind {
  readonly status: number;
  readonly issue: IssueCode;
  readonly retryAfter?: number;
  /** WWW-Authenticate. */
  readonly authenticate?: (error: HeadwaterError) => string;
}

/** The one place where codes become statuses. Every other code is internal: the answer is 500 without details. */
const KINDS: Partial<Record<ErrorCode, Kind>> = {
  'bad-request': { status: 400, issue: 'invalid' },
  'not-found': { status: 404, issue: 'not-found' },
  'no-token': { status: 401, issue: 'login', authenticate: () => 'Bearer realm="headwater"' },
  'invalid-token': { status: 401, issue: 'unknown', authenticate: () => 'Bearer error="invalid_token"' },
  'expired-token': {
    ...{ status: 401, issue: 'expired' },
    authenticate: () => 'Bearer error="invalid_token", error_description="expired"',
  },
  'insufficient-scope': {
    ...{ status: 403, issue: 'forbidden' },
    authenticate: ({ subject = '' }) => `Bearer error="insufficient_scope", scope="${subject}"`,
  },
  forbidden: { status: 403, issue: 'forbidden' },
  precondition: { status: 412, issue: 'invalid' },
  'too-many': { status: 429, issue: 'throttled', retryAfter: 10 },
  unavailable: { status: 503, issue: 'transient', retryAfter: 5 },
};

const OURS: ErrorAnswer = {
  status: 500,
  retryAfter: undefined,
  outcome: operationOutcome('error', 'exception', clientMessage('internal', '')),
};

/** Returns what a client may see of an error. */
export function answerTo(error: unknown): ErrorAnswer {
  if (error instanceof HeadwaterError) {
    const kind = KINDS[error.code];
    if (!kind) return OURS;
    return {
      status: kind.status,
      retryAfter: error.retryAfter ?? kind.retryAfter,
      authenticate: kind.authenticate?.(error),
      outcome: operationOutcome('error', kind.issue, clientMessage(error.code, error.message)),
    };
  }
  return answerToHttpError(error) ?? OURS;
}

/** Errors of koa's own parts (http-errors), as for a body that is no JSON or too long. */
function answerToHttpError(error: unknown): ErrorAnswer | undefined {
  if (!(error instanceof Error)) return undefined;
  const { status, expose } = error as Error & { status?: unknown; expose?: unknown };
  if (typeof status !== 'number' || status < 400 || status > 499 || expose === false) return undefined;
  return { status, retryAfter: undefined, outcome: operationOutcome('error', 'invalid', error.message) };
}
