import { isObject } from '../base/is-object.ts';
import type { Operation } from './methods.ts';

const SYSTEM = 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue';

/** The codes that Microsoft's tool writes, as it spells them, in its order. */
const LABELS: Readonly<Record<Operation, object>> = {
  redact: { system: SYSTEM, code: 'REDACTED', display: 'redacted' },
  abstract: { system: SYSTEM, code: 'ABSTRED', display: 'abstracted' },
  cryptoHash: { system: SYSTEM, code: 'CRYTOHASH', display: 'cryptographic hash function' },
  encrypt: { system: SYSTEM, code: 'MASKED', display: 'masked' },
  perturb: { code: 'PERTURBED', display: 'exact value is replaced with another exact value' },
  substitute: { code: 'SUBSTITUTED', display: 'exact value is replaced with a predefined value' },
  generalize: { code: 'GENERALIZED', display: 'exact value is replaced with a general value' },
};

/** Returns the resource with labels in meta.security for all that happened to it. */
export function withLabels(
  resource: Readonly<Record<string, unknown>>,
  operations: ReadonlySet<Operation>,
): Record<string, unknown> {
  const { resourceType, id, meta, ...others } = resource;
  const own = isObject(meta) ? meta : {};
  const security = Array.isArray(own.security) ? (own.security as unknown[]) : [];
  const added = Object.entries(LABELS).flatMap(([operation, label]) =>
    operations.has(operation as Operation) && !security.some((one) => codeOf(one) === codeOf(label))
      ? [label]
      : [],
  );
  if (added.length === 0) return { ...resource };
  const labelled = { ...own, security: [...security, ...added] };
  return { resourceType, ...(id === undefined ? {} : { id }), meta: labelled, ...others };
}

function codeOf(coding: unknown): unknown {
  return isObject(coding) ? coding.code : undefined;
}
