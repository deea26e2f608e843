/** The issue-type codes of R4 that Headwater uses. */
export const ISSUE_CODES = [
  'invalid',
  'not-found',
  'not-supported',
  'throttled',
  'transient',
  'exception',
  'informational',
  'too-costly',
  'incomplete',
  'login',
  'unknown',
  'expired',
  'forbidden',
] as const;

export type IssueCode = (typeof ISSUE_CODES)[number];

export const ISSUE_SEVERITIES = ['fatal', 'error', 'warning', 'information'] as const;

export type IssueSeverity = (typeof ISSUE_SEVERITIES)[number];

export interface OperationOutcome {
  readonly resourceType: 'OperationOutcome';
  readonly issue: readonly {
    readonly severity: IssueSeverity;
    readonly code: IssueCode;
    readonly diagnostics: string;
  }[];
}

/** An OperationOutcome with one issue. `diagnostics` is read by people: it names the input to change. */
export function operationOutcome(
  severity: IssueSeverity,
  code: IssueCode,
  diagnostics: string,
): OperationOutcome {
  return { resourceType: 'OperationOutcome', issue: [{ severity, code, diagnostics }] };
}
