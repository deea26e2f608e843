/**
 * Every code an error of Headwater can carry. The code decides what happens; the message names the input or setting to change.
 * `remedyFor` maps codes to actions, `clientMessage` to what a client may read.
 */
export type ErrorCode =
  | 'bad-request' // the client sent something that has to change
  | 'not-found'
  | 'no-token' // the request has no access token; the message says how to get one
  | 'invalid-token' // the reason is for logs only
  | 'expired-token'
  | 'insufficient-scope' // the subject is the scope that the token lacks
  | 'forbidden' // the client's role does not permit it; the message names the parameter, never whether something exists
  | 'precondition' // something is not as the client says it expects
  | 'too-many' // a limit was reached; try again later
  | 'bad-config' // a setting is missing or wrong
  | 'refused' // a server refuses the credentials, or a right is missing; the message names the setting or the right
  | 'blocked' // the source or the log is not as it must be; the message says what an operator has to run
  | 'unavailable' // a server Headwater depends on does not answer; try again
  | 'fenced' // another instance has taken over
  | 'conflict' // what exists contradicts what is declared
  | 'corrupt' // stored bytes are not what was written
  | 'gone' // the log no longer holds what a job or a position needs
  | 'unsupported' // the source does something that cannot be followed
  | 'limit' // a resource, record or message is too large
  | 'internal';

/**
 * Decides what every caller does about an error:
 * - `retry`: a server is away or busy. Do the same again with backoff, however long it takes.
 * - `fail`: the same input fails again. Fail the job that it belongs to; if it names no job, log it and go on.
 * - `stop`: a person has to change a setting, a right or a server. End the process with one line.
 */
export type Remedy = 'retry' | 'fail' | 'stop';

const REMEDIES: Readonly<Record<ErrorCode, Remedy>> = {
  'bad-request': 'fail',
  'not-found': 'fail',
  'no-token': 'fail',
  'invalid-token': 'fail',
  'expired-token': 'fail',
  'insufficient-scope': 'fail',
  forbidden: 'fail',
  precondition: 'fail',
  'too-many': 'retry',
  'bad-config': 'stop',
  refused: 'stop',
  blocked: 'stop',
  unavailable: 'retry',
  fenced: 'retry',
  conflict: 'stop',
  corrupt: 'fail',
  gone: 'fail',
  unsupported: 'fail',
  limit: 'fail',
  internal: 'fail',
};

const RETRYABLE: ReadonlySet<ErrorCode> = new Set(['unavailable', 'too-many']);

/** System errors of a network or a disk that may recover. A full disk is one of them: no job fails for it before its deadline. */
const PASSING: ReadonlySet<string> = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'ETIMEDOUT', 'EPIPE', 'ENOTFOUND', 'EAI_AGAIN'],
  ...['EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN', 'ENETRESET'],
  ...['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'ESTALE', 'EACCES', 'EPERM', 'EBUSY', 'EAGAIN', 'EMFILE', 'ENFILE'],
]);

export interface HeadwaterErrorOptions {
  readonly cause?: unknown;
  /** The subject of the error, for logs and OperationOutcome: a parameter, a setting, a resource key. Never a secret. */
  readonly subject?: string;
  readonly retryable?: boolean;
  /** s, after which trying again can help, if that is known. */
  readonly retryAfter?: number | undefined;
}

/** The one error of this project: a documented code, whether trying again can help, and a message that names what to change. */
export class HeadwaterError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly subject: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, options: HeadwaterErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HeadwaterError';
    this.code = code;
    this.retryable = options.retryable ?? RETRYABLE.has(code);
    this.subject = options.subject;
    this.retryAfter = options.retryAfter;
  }
}

/** The one place that decides between retrying, failing the job and stopping the process. Takes anything thrown. */
export function remedyFor(error: unknown): Remedy {
  if (error instanceof HeadwaterError) return REMEDIES[error.code];
  if (error instanceof AggregateError) return error.errors.some(isPassing) ? 'retry' : 'fail';
  return isPassing(error) ? 'retry' : 'fail';
}

/** Whether it is certain that the same input fails again. An error without a code may be a bug or a coincidence. */
export function isCertain(error: unknown): boolean {
  return error instanceof HeadwaterError && error.code !== 'internal';
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  return (typeof code === 'string' && PASSING.has(code)) || isPassing(error.cause);
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

export function isAbort(error: unknown, signal?: AbortSignal): boolean {
  return signal?.aborted === true || (error instanceof Error && error.name === 'AbortError');
}
