import { HeadwaterError, messageOf } from '../base/errors.ts';

/** SQLSTATE classes and codes of errors that pass. */
const AWAY_STATE = /^(08|53|57P0|57014|55P03|55006|40001|40P01|25006|25P0[34])/;
/** A table or schema is missing. The job tables are created at the start, and again if an operator has dropped them. */
const NOT_YET_STATE = /^(42P01|3F000)/;
/** The login is refused: the password is wrong, pg_hba.conf has no line for it, or there is no such database. */
const REFUSED_STATE = /^(28|3D000)/;
const MISSING_RIGHT_STATE = '42501';
const AWAY_SYSTEM = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'EACCES',
]);
/** pg's own errors have no code. */
const AWAY_MESSAGE =
  /terminated|timeout|not queryable|Client has encountered a connection error|Cannot use a pool after/i;

/** `unavailable` for an error that says that the database is away, `refused` for a refused login or a missing right; undefined for any other. */
export function awayError(error: unknown): HeadwaterError | undefined {
  if (error instanceof HeadwaterError || !(error instanceof Error)) return undefined;
  const refusal = refusedError(error);
  if (refusal) return refusal;
  const causes = error instanceof AggregateError ? (error.errors as unknown[]) : [error];
  const away = causes.some((cause) => {
    const { code } = cause as { code?: unknown };
    if (typeof code === 'string')
      return AWAY_SYSTEM.has(code) || AWAY_STATE.test(code) || NOT_YET_STATE.test(code);
    return AWAY_MESSAGE.test(messageOf(cause));
  });
  if (!away) return undefined;
  return new HeadwaterError('unavailable', `the database does not answer: ${messageOf(error)}`, {
    cause: error,
  });
}

/** Decides whether a service waits or stops after a failed attempt to open a session or to work in it. */
export function unavailable(error: unknown): HeadwaterError {
  if (error instanceof HeadwaterError) return error;
  const away = awayError(error);
  if (away) return away;
  return new HeadwaterError('unavailable', `the database: ${messageOf(error)}`, { cause: error });
}

function refusedError(error: Error): HeadwaterError | undefined {
  const { code } = error as { code?: unknown };
  if (code === MISSING_RIGHT_STATE) {
    const missing = `the user of HEADWATER_SOURCE_URL lacks a right in PostgreSQL; GRANT it: ${messageOf(error)}`;
    return new HeadwaterError('refused', missing, { cause: error });
  }
  if (typeof code !== 'string' || !REFUSED_STATE.test(code)) return undefined;
  const message = `PostgreSQL refuses the login of HEADWATER_SOURCE_URL: ${messageOf(error)}`;
  return new HeadwaterError('refused', message, { cause: error });
}
