/** Every code an error of Headwater can carry. The code says what to do; the message names the input or setting. */
export type ErrorCode =
  | 'bad-request' // the client sent something that has to change
  | 'not-found'
  | 'too-many' // a limit was reached; try again later
  | 'bad-config' // a setting is missing or wrong
  | 'unavailable' // a server Headwater depends on does not answer; try again
  | 'fenced' // another instance has taken over
  | 'conflict' // what exists contradicts what is declared
  | 'corrupt' // stored bytes are not what was written
  | 'unsupported' // the source does something that cannot be followed
  | 'limit' // a resource or message is too large
  | 'internal';

const RETRYABLE: ReadonlySet<ErrorCode> = new Set(['unavailable', 'too-many']);

export interface HeadwaterErrorOptions {
  readonly cause?: unknown;
  /** What the error is about, for logs and OperationOutcome: a parameter, a setting, a resource key. Never a secret. */
  readonly subject?: string;
  readonly retryable?: boolean;
}

/** The one error of this project: a documented code, whether trying again can help, and a message that names what to change. */
export class HeadwaterError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly subject: string | undefined;

  constructor(code: ErrorCode, message: string, options: HeadwaterErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HeadwaterError';
    this.code = code;
    this.retryable = options.retryable ?? RETRYABLE.has(code);
    this.subject = options.subject;
  }
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

export function isAbort(error: unknown, signal?: AbortSignal): boolean {
  return signal?.aborted === true || (error instanceof Error && error.name === 'AbortError');
}
