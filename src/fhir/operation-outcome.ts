/** Those of R4's issue-type codes that Headwater uses. */
export type IssueCode =
  | 'invalid'
  | 'not-found'
  | 'not-supported'
  | 'throttled'
  | 'transient'
  | 'exception'
  | 'informational'
  | 'too-costly'
  | 'incomplete';

export type IssueSeverity = 'fatal' | 'error' | 'warning' | 'information';

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
