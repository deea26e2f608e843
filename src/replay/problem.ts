import { HeadwaterError } from '../base/errors.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import { operationOutcome } from '../fhir/operation-outcome.ts';

/** The reason why a living resource is not in the output. The code is for programs. */
export interface Problem {
  readonly code: 'too-large' | 'no-json' | 'not-read' | 'not-shaped';
  readonly text: string;
}

/** The log has no body of the resource. */
export function withoutBody({ problem, oversizeBytes }: ResourceChange): Problem {
  // Records of earlier releases have only the size.
  if (oversizeBytes === null) return { code: 'no-json', text: problem ?? 'the source holds no JSON for it' };
  return { code: 'too-large', text: problem ?? `it has ${oversizeBytes} bytes` };
}

/**
 * Returns the problem of one resource that an error reports. Rethrows an error that is about more. An error without a code is a bug of
 * ours: it fails the task instead of leaving out every resource that meets it.
 */
export function problemOf(code: Problem['code'], error: unknown): Problem {
  if (error instanceof HeadwaterError && error.code === 'corrupt') return { code, text: error.message };
  if (error instanceof RangeError && error.message === STACK_OVERFLOW)
    return { code, text: 'it is nested too deep' };
  if (error instanceof HeadwaterError) throw error;
  throw new HeadwaterError('internal', `a resource cannot be handled: ${String(error)}`, { cause: error });
}

const STACK_OVERFLOW = 'Maximum call stack size exceeded';

/**
 * `resource` says for programs which one it is, `details` why.
 * @param key undefined where the client must not learn it
 */
export function problemOutcome(key: string | undefined, { code, text }: Problem): object {
  const outcome = operationOutcome(
    'error',
    'exception',
    `${key ?? 'A resource'} is not in this export: ${text}`,
  );
  const [issue] = outcome.issue;
  return {
    ...outcome,
    issue: [
      {
        ...(key !== undefined && {
          extension: [{ url: RESOURCE_EXTENSION, valueReference: { reference: key } }],
        }),
        ...issue,
        details: { coding: [{ system: PROBLEM_SYSTEM, code }] },
      },
    ],
  };
}

const RESOURCE_EXTENSION = 'urn:headwater:resource';
const PROBLEM_SYSTEM = 'urn:headwater:problem';
